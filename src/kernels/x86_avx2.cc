// SPDX-License-Identifier: Apache-2.0
// The sets for x86 with AVX2, FMA and F16C: alone, and with dot products of bytes (AVX-VNNI, in
// laptops since 2021). The vectors are in vectors_avx2.inc, the algorithms in the other .inc files.
// Nothing from a header is compiled inside the target regions, so no inline function that needs
// AVX2 can be merged into code for older machines.
#include "base/cpu.h"
#include "kernels/dot_kernels.h"
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

constexpr int kMostTileRows = 6;  // their sums stay in the 16 registers

// The others use functions.inc; quantised.inc and winograd.inc use products.inc.
// clang-format off
#include "kernels/vectors_avx2.inc"
#include "kernels/functions.inc"
#include "kernels/depthwise.inc"
#include "kernels/products.inc"
#include "kernels/rows.inc"
#include "kernels/winograd.inc"
#include "kernels/dot_rows.inc"
#include "kernels/make_table.inc"
// clang-format on

namespace plain {

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

constexpr int kDotTileRows = 4;  // 4 x 16 sums, four vectors of widened weights and two of x

// The even, then the odd bytes, each pair as two numbers of 16 bits. What depends on x or on the
// weights alone is computed once a tile.
inline Words dot_codes(Words sums, Words codes, Words weights) {
  const Words even = _mm256_madd_epi16(_mm256_and_si256(codes, _mm256_set1_epi16(255)),
                                       _mm256_srai_epi16(_mm256_slli_epi16(weights, 8), 8));
  const Words odd = _mm256_madd_epi16(_mm256_srli_epi16(codes, 8), _mm256_srai_epi16(weights, 8));
  return add(sums, add(even, odd));
}

// clang-format off
#include "kernels/quantised_sums.inc"
#include "kernels/quantised.inc"
#include "kernels/dot_sums.inc"
#include "kernels/dot_products.inc"
// clang-format on

}  // namespace plain
}  // namespace
}  // namespace fastvlm

#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avxvnni")
#endif

namespace fastvlm {
namespace {
namespace vnni {

// sums + the dot product of each four unsigned and four signed bytes.
inline Words dot_bytes(Words sums, Words weights, Words x) {
  return _mm256_dpbusd_avx_epi32(sums, weights, x);
}
inline Words dot_nibbles(Words sums, Words weights, Words x) {
  return dot_bytes(sums, weights, x);
}

constexpr int kDotTileRows = 6;  // 6 x 16 sums, two vectors of weights and one of x

inline Words dot_codes(Words sums, Words codes, Words weights) {
  return dot_bytes(sums, codes, weights);
}

// clang-format off
#include "kernels/quantised_sums.inc"
#include "kernels/quantised.inc"
#include "kernels/dot_sums.inc"
#include "kernels/dot_products.inc"
// clang-format on

}  // namespace vnni
}  // namespace
}  // namespace fastvlm

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace fastvlm {

const KernelTable* avx2_kernels() {
  static constexpr DotTable kDot = plain::dot_table(true, false);
  static constexpr KernelTable kTable =
      make_table("avx2", plain::quantise_tile, plain::tile_product, &kDot);
  return cpu_features().avx2_fma ? &kTable : nullptr;
}

// The same with dot products of bytes.
const KernelTable* avx_vnni_kernels() {
  if (!cpu_features().avx_vnni) return nullptr;
  static constexpr DotTable kDot = vnni::dot_table(true, false);
  static constexpr KernelTable kTable =
      make_table("avx-vnni", vnni::quantise_tile, vnni::tile_product, &kDot);
  return &kTable;
}

}  // namespace fastvlm

#else

namespace fastvlm {

const KernelTable* avx2_kernels() {
  return nullptr;
}
const KernelTable* avx_vnni_kernels() {
  return nullptr;
}

}  // namespace fastvlm

#endif
