// SPDX-License-Identifier: Apache-2.0
// The set for x86 with AVX2, FMA and F16C: this file names the vectors, the .inc files hold the
// algorithms. Nothing from a header is compiled inside the target region, so no inline function
// that needs AVX2 can be merged into code for older machines.
#include "base/cpu.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif

namespace fastvlm {
namespace {

using V = __m256;
using Words = __m256i;
constexpr int64_t kLanes = 8;
constexpr int kTileRows = 6;  // 6 x 16 sums, 2 vectors of weights and one of x: 15 registers of 16
constexpr int kTilePanels = 1;

inline V load(const float* p) {
  return _mm256_loadu_ps(p);
}
inline void store(float* p, V v) {
  _mm256_storeu_ps(p, v);
}
inline V all(float x) {
  return _mm256_set1_ps(x);
}
inline V zero() {
  return _mm256_setzero_ps();
}
inline V add(V a, V b) {
  return _mm256_add_ps(a, b);
}
inline V sub(V a, V b) {
  return _mm256_sub_ps(a, b);
}
inline V mul(V a, V b) {
  return _mm256_mul_ps(a, b);
}
inline V div(V a, V b) {
  return _mm256_div_ps(a, b);
}
inline V multiply_add(V a, V b, V c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline V subtract_product(V c, V a, V b) {
  return _mm256_fnmadd_ps(a, b, c);
}
// The second operand where either is not a number.
inline V least(V a, V b) {
  return _mm256_min_ps(a, b);
}
inline V greatest(V a, V b) {
  return _mm256_max_ps(a, b);
}
inline V rounded(V a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
inline V zero_where_less(V value, V a, V b) {
  return _mm256_andnot_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ), value);
}
// 2^n for whole n in -126 .. 127.
inline V power_of_two(V n) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}
// a 2^n for whole n in -126 .. 127.
inline V scaled(V a, V n) {
  return mul(a, power_of_two(n));
}

// The first `count` lanes (at most all); the others are zero, or not written.
inline __m256i first_lanes(int64_t count) {
  const auto limit = static_cast<int>(std::clamp<int64_t>(count, 0, kLanes));
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(limit), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline V load_part(const float* p, int64_t count) {
  return _mm256_maskload_ps(p, first_lanes(count));
}
inline void store_part(float* p, V v, int64_t count) {
  _mm256_maskstore_ps(p, first_lanes(count), v);
}

inline float sum_of(V v) {
  __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_add_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}
inline float greatest_of(V v) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

// a0 b0 a1 b1 ... as two vectors.
inline void store_interleaved(float* p, V a, V b) {
  const V low = _mm256_unpacklo_ps(a, b);
  const V high = _mm256_unpackhi_ps(a, b);
  store(p, _mm256_permute2f128_ps(low, high, 0x20));
  store(p + kLanes, _mm256_permute2f128_ps(low, high, 0x31));
}

inline V load_f16(const void* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}
inline V load_bf16(const void* p) {
  const __m128i half = _mm_loadu_si128(static_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

inline Words load_words(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
// The field of `kBits` bits that starts at bit `kShift`, times 2^kShift unless it is the last one.
template <int kBits, int kShift>
inline V field(Words words) {
  if constexpr (kShift + kBits == 32) {
    return _mm256_cvtepi32_ps(_mm256_srli_epi32(words, kShift));
  } else {
    constexpr int kMask = ((1 << kBits) - 1) << kShift;
    return _mm256_cvtepi32_ps(_mm256_and_si256(words, _mm256_set1_epi32(kMask)));
  }
}

inline Words all_words(int32_t word) {
  return _mm256_set1_epi32(word);
}
inline V to_floats(Words words) {
  return _mm256_cvtepi32_ps(words);
}
inline Words low_nibbles(Words words) {
  return _mm256_and_si256(words, _mm256_set1_epi8(15));
}
inline Words high_nibbles(Words words) {
  return low_nibbles(_mm256_srli_epi32(words, 4));
}
// Whole numbers of eight columns as bytes, four to a word: in order for 8-bit weights; for 4-bit
// ones the even columns, then the odd ones.
template <int kBits>
inline void store_columns(V values, int32_t* out) {
  __m256i columns = _mm256_cvtps_epi32(values);
  if constexpr (kBits == 4) {
    columns = _mm256_permutevar8x32_epi32(columns, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
  }
  const __m128i words =
      _mm_packs_epi32(_mm256_castsi256_si128(columns), _mm256_extracti128_si256(columns, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out), _mm_packs_epi16(words, words));
}
// sums + the dot product of each four unsigned and four signed bytes; these unsigned ones are below
// 128, so that no pair of products overflows.
inline Words dot_nibbles(Words sums, Words weights, Words x) {
  const Words pairs = _mm256_maddubs_epi16(weights, x);
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
// The same for any unsigned bytes: twice the upper seven bits and the lowest one.
inline Words dot_bytes(Words sums, Words weights, Words x) {
  const Words upper = _mm256_and_si256(_mm256_srli_epi32(weights, 1), _mm256_set1_epi8(127));
  const Words pairs = _mm256_maddubs_epi16(upper, x);
  sums = _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(2)));
  return dot_nibbles(sums, _mm256_and_si256(weights, _mm256_set1_epi8(1)), x);
}

constexpr int kMostTileRows = 6;  // their sums stay in the 16 registers

// The others use functions.inc; quantised.inc and winograd.inc use products.inc.
// clang-format off
#include "kernels/functions.inc"
#include "kernels/depthwise.inc"
#include "kernels/products.inc"
#include "kernels/quantised.inc"
#include "kernels/rows.inc"
#include "kernels/winograd.inc"
// clang-format on

}  // namespace
}  // namespace fastvlm

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace fastvlm {

const KernelTable* avx2_kernels() {
  static constexpr KernelTable kTable{
      "avx2",         panel_product,   kTilePanels,   expand,       prepare_vector,
      vector_product, kMostTileRows,   quantise_tile, tile_product, depthwise,
      winograd_input, winograd_output, exponentials,  maximum,      rms_norm,
      layer_norm,     affine,          silu_multiply, scale_gelu,   rotate,
  };
  return cpu_features().avx2_fma ? &kTable : nullptr;
}

}  // namespace fastvlm

#else

namespace fastvlm {

const KernelTable* avx2_kernels() {
  return nullptr;
}

}  // namespace fastvlm

#endif
