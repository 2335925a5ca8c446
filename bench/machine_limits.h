// SPDX-License-Identifier: Apache-2.0
// What one thread of this machine can do at most, measured in the same run as the kernels, so that
// fractions mean something on a machine that does other work besides.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/cpu.h"

namespace fastvlm::bench {

// Seconds that this thread has computed.
inline double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

#if defined(__x86_64__)

// Fused multiply-adds of twelve independent sums: floating-point operations done.
__attribute__((target("avx2,fma"))) inline double multiply_add_loop(int64_t rounds) {
  __m256 sums[12];
  for (auto& sum : sums) sum = _mm256_set1_ps(1.0F);
  const __m256 a = _mm256_set1_ps(0.999F);
  const __m256 b = _mm256_set1_ps(0.001F);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int s = 0; s < 12; ++s) sums[s] = _mm256_fmadd_ps(sums[s], a, b);
  }
  volatile float keep = 0.0F;
  for (const auto& sum : sums) keep = keep + _mm256_cvtss_f32(sum);
  return static_cast<double>(rounds) * 12 * 8 * 2;
}

// Dot products of bytes into twelve independent sums: operations done.
__attribute__((target("avx512f,avx512vnni"))) inline double dot_loop(int64_t rounds) {
  __m512i sums[12];
  for (auto& sum : sums) sum = _mm512_set1_epi32(1);
  const __m512i a = _mm512_set1_epi8(3);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int s = 0; s < 12; ++s) sums[s] = _mm512_dpbusd_epi32(sums[s], a, a);
  }
  volatile int keep = 0;
  for (const auto& sum : sums) keep = keep + _mm512_cvtsi512_si32(sum);
  return static_cast<double>(rounds) * 12 * 64 * 2;
}

__attribute__((target("avx2"))) inline void read_all(const std::vector<uint64_t>& data) {
  __m256i sums[4] = {};
  for (size_t i = 0; i + 16 <= data.size(); i += 16) {
#pragma GCC unroll 4
    for (size_t s = 0; s < 4; ++s) {
      const auto* p = reinterpret_cast<const __m256i*>(data.data() + i + 4 * s);
      sums[s] = _mm256_xor_si256(sums[s], _mm256_loadu_si256(p));
    }
  }
  volatile int keep = 0;
  for (const auto& sum : sums) keep = keep + _mm256_extract_epi32(sum, 0);
}

#else

inline double multiply_add_loop(int64_t rounds) {
  constexpr int kSums = 64;
  float sums[kSums] = {};
  for (int64_t i = 0; i < rounds; ++i) {
    for (float& sum : sums) sum = sum * 0.999F + 0.001F;
  }
  volatile float keep = 0.0F;
  for (const float sum : sums) keep = keep + sum;
  return static_cast<double>(rounds) * kSums * 2;
}

inline void read_all(const std::vector<uint64_t>& data) {
  volatile uint64_t keep = 0;
  uint64_t sum = 0;
  for (const uint64_t value : data) sum ^= value;
  keep = sum;
}

#endif

// Operations a second of one thread in `loop`: the best of a few short runs.
inline double peak_of(double (*loop)(int64_t rounds)) {
  double best = 0.0;
  for (int i = 0; i < 8; ++i) {
    const double start = thread_seconds();
    const double done = loop(200000);
    best = std::max(best, done / (thread_seconds() - start));
  }
  return best;
}

inline double peak_flops() {
  return peak_of(multiply_add_loop);
}

// The peak of products of bytes; of floats where the machine has no instruction for bytes.
inline double peak_dot_operations() {
#if defined(__x86_64__)
  if (cpu_features().avx512_vnni) return peak_of(dot_loop);
#endif
  return peak_flops();
}

// Bytes a second that one thread reads from memory: 256 MB, the best of three passes.
inline double peak_read() {
  static const std::vector<uint64_t> data(size_t{32} << 20, 1);
  double best = 0.0;
  for (int i = 0; i < 3; ++i) {
    const double start = thread_seconds();
    read_all(data);
    best = std::max(best, static_cast<double>(data.size() * 8) / (thread_seconds() - start));
  }
  return best;
}

}  // namespace fastvlm::bench
