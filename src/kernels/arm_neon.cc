// SPDX-License-Identifier: Apache-2.0
// The sets for 64-bit Arm: NEON, which all have, and NEON with dot products of bytes (Armv8.2). Two
// registers make one vector of eight floats, so that the algorithms do what they do on AVX2.
#include "base/cpu.h"
#include "kernels/dot_kernels.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"

#if defined(__aarch64__)

#include <arm_neon.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace fastvlm {
namespace {

constexpr int kMostTileRows = 6;  // 12 sums and 12 totals of 32 registers
constexpr int kDotTileRows = 6;   // 24 sums, four registers of weights and one of x

// The others use functions.inc; quantised.inc and winograd.inc use products.inc.
// clang-format off
#include "kernels/vectors_neon.inc"
#include "kernels/functions.inc"
#include "kernels/depthwise.inc"
#include "kernels/products.inc"
#include "kernels/rows.inc"
#include "kernels/winograd.inc"
#include "kernels/dot_rows.inc"
#include "kernels/make_table.inc"
// clang-format on

inline int8x16_t bytes_of(int32x4_t words) {
  return vreinterpretq_s8_s32(words);
}
// The upper seven bits of each byte, as a number.
inline Words upper_bits(Words words) {
  constexpr int32_t kSeven = 0x7f7f7f7f;
  return {masked(shifted<1>(words.low), kSeven), masked(shifted<1>(words.high), kSeven)};
}
inline Words lowest_bits(Words words) {
  constexpr int32_t kOne = 0x01010101;
  return {masked(words.low, kOne), masked(words.high, kOne)};
}
inline Words doubled(Words words) {
  return {vaddq_s32(words.low, words.low), vaddq_s32(words.high, words.high)};
}

namespace plain {

// sums + the products of bytes, four to a sum; no pair of them reaches 2^15.
inline int32x4_t add_products(int32x4_t sums, int8x16_t a, int8x16_t b) {
  const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
  const int16x8_t high = vmull_high_s8(a, b);
  return vpadalq_s16(sums, vpaddq_s16(low, high));
}
// sums + the dot product of each four unsigned and four signed bytes; these unsigned ones are below
// 128.
inline Words dot_nibbles(Words sums, Words weights, Words x) {
  return {add_products(sums.low, bytes_of(weights.low), bytes_of(x.low)),
          add_products(sums.high, bytes_of(weights.high), bytes_of(x.high))};
}
// The same for any unsigned bytes: twice the upper seven bits and the lowest one.
inline Words dot_bytes(Words sums, Words weights, Words x) {
  const Words upper = dot_nibbles(all_words(0), upper_bits(weights), x);
  return dot_nibbles(add(sums, doubled(upper)), lowest_bits(weights), x);
}

// Both signed: vectors_neon.inc takes 128 from the codes. No pair of products reaches 2^15.
inline Words dot_codes(Words sums, Words codes, Words weights) {
  return dot_nibbles(sums, codes, weights);
}

// clang-format off
#include "kernels/quantised.inc"
#include "kernels/dot_products.inc"
// clang-format on

}  // namespace plain
}  // namespace
}  // namespace fastvlm

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

namespace fastvlm {
namespace {
namespace dotprod {

inline Words dot_nibbles(Words sums, Words weights, Words x) {
  return {vdotq_s32(sums.low, bytes_of(weights.low), bytes_of(x.low)),
          vdotq_s32(sums.high, bytes_of(weights.high), bytes_of(x.high))};
}
inline Words dot_bytes(Words sums, Words weights, Words x) {
  const Words upper = dot_nibbles(all_words(0), upper_bits(weights), x);
  return dot_nibbles(add(sums, doubled(upper)), lowest_bits(weights), x);
}

// Both signed: vectors_neon.inc takes 128 from the codes. No pair of products reaches 2^15.
inline Words dot_codes(Words sums, Words codes, Words weights) {
  return dot_nibbles(sums, codes, weights);
}

// clang-format off
#include "kernels/quantised.inc"
#include "kernels/dot_products.inc"
// clang-format on

}  // namespace dotprod
}  // namespace
}  // namespace fastvlm

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace fastvlm {

const KernelTable* neon_kernels() {
  static constexpr DotTable kDot = plain::dot_table(false, false);
  static constexpr KernelTable kTable =
      make_table("neon", plain::quantise_tile, plain::tile_product, &kDot);
  return &kTable;
}

// The same with dot products of bytes.
const KernelTable* neon_dotprod_kernels() {
  if (!cpu_features().neon_dotprod) return nullptr;
  static constexpr DotTable kDot = dotprod::dot_table(true, false);
  static constexpr KernelTable kTable =
      make_table("neon-dotprod", dotprod::quantise_tile, dotprod::tile_product, &kDot);
  return &kTable;
}

}  // namespace fastvlm

#else

namespace fastvlm {

const KernelTable* neon_kernels() {
  return nullptr;
}
const KernelTable* neon_dotprod_kernels() {
  return nullptr;
}

}  // namespace fastvlm

#endif
