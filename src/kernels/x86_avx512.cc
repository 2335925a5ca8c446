// SPDX-License-Identifier: Apache-2.0
// The sets for x86 with AVX-512 F, BW, DQ and VL: alone, with dot products of bytes (VNNI), and
// with those of bf16 numbers too. As in x86_avx2.cc, nothing from a header is compiled inside the
// target regions.
#include "base/cpu.h"
#include "kernels/dot_kernels.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false alarms in its headers: bug 105593
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#endif

namespace fastvlm {
namespace {

constexpr int kMostTileRows = 12;  // 12 sums and 12 totals of 32 registers
constexpr int kDotTileRows = 12;   // 12 x 32 sums, two vectors of weights and one of x

// The others use functions.inc; quantised.inc and winograd.inc use products.inc.
// clang-format off
#include "kernels/vectors_avx512.inc"
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
  const Words pairs = _mm512_maddubs_epi16(weights, x);
  return _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
// The same for any unsigned bytes: twice the upper seven bits and the lowest one.
inline Words dot_bytes(Words sums, Words weights, Words x) {
  const Words upper = _mm512_and_si512(_mm512_srli_epi32(weights, 1), _mm512_set1_epi8(127));
  const Words pairs = _mm512_maddubs_epi16(upper, x);
  sums = _mm512_add_epi32(sums, _mm512_madd_epi16(pairs, _mm512_set1_epi16(2)));
  return dot_nibbles(sums, _mm512_and_si512(weights, _mm512_set1_epi8(1)), x);
}

// The even, then the odd bytes, each pair as two numbers of 16 bits.
inline Words dot_codes(Words sums, Words codes, Words weights) {
  const Words even = _mm512_madd_epi16(_mm512_and_si512(codes, _mm512_set1_epi16(255)),
                                       _mm512_srai_epi16(_mm512_slli_epi16(weights, 8), 8));
  const Words odd = _mm512_madd_epi16(_mm512_srli_epi16(codes, 8), _mm512_srai_epi16(weights, 8));
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
#else
#pragma GCC pop_options
#endif

#if defined(__clang__)
#pragma clang attribute push(                                                               \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

namespace fastvlm {
namespace {
namespace vnni {

// sums + the dot product of each four unsigned and four signed bytes.
inline Words dot_bytes(Words sums, Words weights, Words x) {
  return _mm512_dpbusd_epi32(sums, weights, x);
}
inline Words dot_nibbles(Words sums, Words weights, Words x) {
  return dot_bytes(sums, weights, x);
}

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
#pragma clang attribute push(                                                               \
    __attribute__((                                                                         \
        target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16"))), \
    apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")
#endif

namespace fastvlm {
namespace {
namespace vnni_bf16 {

inline Words dot_codes(Words sums, Words codes, Words weights) {
  return vnni::dot_bytes(sums, codes, weights);
}
inline V dot_bf16(V sums, Words x, Words w) {
  return _mm512_dpbf16_ps(sums, (__m512bh)x, (__m512bh)w);
}
inline void store_bf16(V values, int64_t count, uint16_t* out) {
  _mm256_mask_storeu_epi16(out, first_lanes(count), (__m256i)_mm512_cvtneps_pbh(values));
}

// clang-format off
#include "kernels/dot_sums.inc"
#include "kernels/dot_products.inc"
// clang-format on

}  // namespace vnni_bf16
}  // namespace
}  // namespace fastvlm

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace fastvlm {

const KernelTable* avx512_kernels() {
  static constexpr DotTable kDot = plain::dot_table(true, false);
  static constexpr KernelTable kTable =
      make_table("avx512", plain::quantise_tile, plain::tile_product, &kDot);
  return cpu_features().avx512 ? &kTable : nullptr;
}

// The same with dot products of bytes.
const KernelTable* avx512_vnni_kernels() {
  if (!cpu_features().avx512_vnni) return nullptr;
  static constexpr DotTable kDot = vnni::dot_table(true, false);
  static constexpr KernelTable kTable =
      make_table("avx512-vnni", vnni::quantise_tile, vnni::tile_product, &kDot);
  return &kTable;
}

// The same with those of bf16 numbers.
const KernelTable* avx512_vnni_bf16_kernels() {
  if (!cpu_features().avx512_vnni || !cpu_features().avx512_bf16) return nullptr;
  static constexpr DotTable kDot = vnni_bf16::dot_table(true, true);
  static constexpr KernelTable kTable =
      make_table("avx512-vnni-bf16", vnni::quantise_tile, vnni::tile_product, &kDot);
  return &kTable;
}

}  // namespace fastvlm

#else

namespace fastvlm {

const KernelTable* avx512_kernels() {
  return nullptr;
}
const KernelTable* avx512_vnni_kernels() {
  return nullptr;
}
const KernelTable* avx512_vnni_bf16_kernels() {
  return nullptr;
}

}  // namespace fastvlm

#endif
