// SPDX-License-Identifier: Apache-2.0
#include "kernels/machine_limits.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <numeric>
#include <span>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/cpu.h"

namespace fastvlm {
namespace {

using Loop = double (*)(int64_t rounds);

constexpr int64_t kRounds = 200000;  // a few milliseconds
constexpr int kRuns = 8;
constexpr int kReads = 3;
constexpr size_t kReadWords = size_t{32} << 20;  // 256 MB: far more than a cache

#if defined(__x86_64__)

// Fused multiply-adds of twelve independent sums: floating-point operations done.
__attribute__((target("avx2,fma"))) double multiply_add_loop(int64_t rounds) {
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

// The same, sixteen floats at a time: twice as fast on some machines, equal on others.
__attribute__((target("avx512f"))) double wide_multiply_add_loop(int64_t rounds) {
  __m512 sums[12];
  for (auto& sum : sums) sum = _mm512_set1_ps(1.0F);
  const __m512 a = _mm512_set1_ps(0.999F);
  const __m512 b = _mm512_set1_ps(0.001F);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int s = 0; s < 12; ++s) sums[s] = _mm512_fmadd_ps(sums[s], a, b);
  }
  volatile float keep = 0.0F;
  for (const auto& sum : sums) keep = keep + _mm512_cvtss_f32(sum);
  return static_cast<double>(rounds) * 12 * 16 * 2;
}

// Dot products of bytes into twelve independent sums: operations done.
__attribute__((target("avx512f,avx512vnni"))) double dot_loop(int64_t rounds) {
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

// The same with half as wide registers.
__attribute__((target("avx2,avxvnni"))) double narrow_dot_loop(int64_t rounds) {
  __m256i sums[12];
  for (auto& sum : sums) sum = _mm256_set1_epi32(1);
  const __m256i a = _mm256_set1_epi8(3);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int s = 0; s < 12; ++s) sums[s] = _mm256_dpbusd_avx_epi32(sums[s], a, a);
  }
  volatile int keep = 0;
  for (const auto& sum : sums) keep = keep + _mm256_extract_epi32(sum, 0);
  return static_cast<double>(rounds) * 12 * 32 * 2;
}

__attribute__((target("avx2"))) void read_all(std::span<const uint64_t> data) {
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

double multiply_add_loop(int64_t rounds) {
  constexpr int kSums = 64;
  float sums[kSums] = {};
  for (int64_t i = 0; i < rounds; ++i) {
    for (float& sum : sums) sum = sum * 0.999F + 0.001F;
  }
  volatile float keep = 0.0F;
  for (const float sum : sums) keep = keep + sum;
  return static_cast<double>(rounds) * kSums * 2;
}

void read_all(std::span<const uint64_t> data) {
  uint64_t sum = 0;
  for (const uint64_t value : data) sum ^= value;
  [[maybe_unused]] volatile uint64_t keep = sum;
}

#endif

Loop fastest_loop_over_floats() {
#if defined(__x86_64__)
  if (cpu_features().avx512) return wide_multiply_add_loop;
#endif
  return multiply_add_loop;
}

Loop fastest_loop_over_bytes() {
#if defined(__x86_64__)
  if (cpu_features().avx512_vnni) return dot_loop;
  if (cpu_features().avx_vnni) return narrow_dot_loop;
#endif
  return fastest_loop_over_floats();
}

// Operations a second of one thread: the best of a few short runs.
double peak_of(Loop loop) {
  double best = 0.0;
  for (int i = 0; i < kRuns; ++i) {
    const double start = thread_seconds();
    const double done = loop(kRounds);
    best = std::max(best, done / (thread_seconds() - start));
  }
  return best;
}

// What the team does a second of the clock: the best of `runs`. `work(share)` returns what it did.
template <typename Work>
double team_peak(ThreadPool& pool, int runs, const Work& work) {
  double best = 0.0;
  std::vector<double> done(static_cast<size_t>(pool.size()));
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    pool.run([&](int share) { done[static_cast<size_t>(share)] = work(share); });
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, std::accumulate(done.begin(), done.end(), 0.0) / elapsed.count());
  }
  return best;
}

}  // namespace

double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double peak_flops() {
  return peak_of(fastest_loop_over_floats());
}

double peak_dot_operations() {
  return peak_of(fastest_loop_over_bytes());
}

double peak_read() {
  static const std::vector<uint64_t> kData(kReadWords, 1);
  double best = 0.0;
  for (int i = 0; i < kReads; ++i) {
    const double start = thread_seconds();
    read_all(kData);
    best = std::max(best, static_cast<double>(kData.size() * 8) / (thread_seconds() - start));
  }
  return best;
}

MachineLimits measure_limits(ThreadPool& pool) {
  MachineLimits limits;
  const Loop floats = fastest_loop_over_floats();
  const Loop bytes = fastest_loop_over_bytes();
  limits.flops = team_peak(pool, kRuns, [&](int) { return floats(kRounds); });
  limits.dot_operations = team_peak(pool, kRuns, [&](int) { return bytes(kRounds); });
  const std::vector<uint64_t> data(kReadWords, 1);
  const size_t part = data.size() / static_cast<size_t>(pool.size());
  limits.read = team_peak(pool, kReads, [&](int share) {
    read_all(std::span(data).subspan(static_cast<size_t>(share) * part, part));
    return static_cast<double>(part * sizeof(uint64_t));
  });
  return limits;
}

}  // namespace fastvlm
