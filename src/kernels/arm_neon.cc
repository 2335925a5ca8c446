// SPDX-License-Identifier: Apache-2.0
// The sets for 64-bit Arm: NEON, which all have, with dot products of bytes (Armv8.2), and with
// products of small matrices of bytes (i8mm, Armv8.6). Two registers make one vector of eight
// floats, so that the algorithms do what they do on AVX2.
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
#include "kernels/quantised_sums.inc"
#include "kernels/quantised.inc"
#include "kernels/dot_sums.inc"
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
#include "kernels/quantised_sums.inc"
#include "kernels/quantised.inc"
#include "kernels/dot_sums.inc"
#include "kernels/dot_products.inc"
// clang-format on

}  // namespace dotprod
}  // namespace
}  // namespace fastvlm

#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("dotprod,i8mm"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("arch=armv8.2-a+dotprod+i8mm")
#endif

namespace fastvlm {
namespace {
namespace i8mm {

using dotprod::dot_codes;
using dotprod::dot_nibbles;

inline Words dot_bytes(Words sums, Words weights, Words x) {
  return {vusdotq_s32(sums.low, vreinterpretq_u8_s32(weights.low), bytes_of(x.low)),
          vusdotq_s32(sums.high, vreinterpretq_u8_s32(weights.high), bytes_of(x.high))};
}
// Products of 2 x 8 by 8 x 2 bytes do the work of two vdotq: two rows of x, and two columns of
// weights, with two words of each. Sums are [row 0, column 0], [0, 1], [1, 0], [1, 1].
struct Columns {
  int8x16_t first;   // columns 0 and 1
  int8x16_t second;  // columns 2 and 3
};
struct Sums {
  int32x4_t first = vdupq_n_s32(0);
  int32x4_t second = vdupq_n_s32(0);

  inline void add(int8x16_t rows, Columns columns) {
    first = vmmlaq_s32(first, rows, columns.first);
    second = vmmlaq_s32(second, rows, columns.second);
  }
  // Columns 0 .. 3 of row 0 or 1.
  inline int32x4_t row(int r) const {
    const int64x2_t a = vreinterpretq_s64_s32(first);
    const int64x2_t b = vreinterpretq_s64_s32(second);
    return vreinterpretq_s32_s64(r == 0 ? vtrn1q_s64(a, b) : vtrn2q_s64(a, b));
  }
};
// From two words of four columns.
inline Columns columns_of(int32x4_t word, int32x4_t next) {
  return {bytes_of(vzip1q_s32(word, next)), bytes_of(vzip2q_s32(word, next))};
}
constexpr int pairs_of(int rows) {
  return (rows + 1) / 2;
}

// clang-format off
#include "kernels/quantised_sums.inc"
// clang-format on

// Even and odd columns of 4-bit weights are the two words. Of an odd number of rows the last one is
// its own neighbour.
template <int kRows>
requires(kRows > 1) struct GroupSums<4, kRows> {
  Sums low[pairs_of(kRows)];
  Sums high[pairs_of(kRows)];

  static inline int32x2_t two_rows(const std::byte* x, int r) {
    return r + 1 < kRows ? load_at<int32x2_t>(x, r) : vdup_n_s32(load_at<int32_t>(x, r));
  }
  inline void add(Words words, const std::byte* x) {
    const Words even = low_nibbles(words);
    const Words odd = high_nibbles(words);
    const Columns low_columns = columns_of(even.low, odd.low);
    const Columns high_columns = columns_of(even.high, odd.high);
    for (int r = 0; r < kRows; r += 2) {
      const int32x2_t first = two_rows(x, r);
      const int32x2_t second = two_rows(x + kRows * 4, r);
      const int8x16_t rows =
          bytes_of(vcombine_s32(vzip1_s32(first, second), vzip2_s32(first, second)));
      low[r / 2].add(rows, low_columns);
      high[r / 2].add(rows, high_columns);
    }
  }
  inline Words row(int r) const { return {low[r / 2].row(r % 2), high[r / 2].row(r % 2)}; }
};

// clang-format off
#include "kernels/quantised.inc"
#include "kernels/dot_sums.inc"
// clang-format on

// One or two words of a row of x, the second one zero where there is one.
template <int kWords>
inline int8x8_t words_of(const std::byte* x) {
  if constexpr (kWords == 2) return vld1_s8(reinterpret_cast<const int8_t*>(x));
  return vreinterpret_s8_s32(vset_lane_s32(load_at<int32_t>(x, 0), vdup_n_s32(0), 0));
}

template <int kRows, int kWords>
inline void add_products(const std::byte* x, int64_t x_stride, const std::byte* w,
                         Sums (&sums)[pairs_of(kRows)][kDotColumns / 4]) {
  int8x16_t rows[pairs_of(kRows)];
  for (int r = 0; r < kRows; r += 2) {
    const std::byte* const next = x + std::min(r + 1, kRows - 1) * x_stride;
    rows[r / 2] = vcombine_s8(words_of<kWords>(x + r * x_stride), words_of<kWords>(next));
  }
#pragma GCC unroll 4
  for (int q = 0; q < kDotColumns / 4; ++q) {
    const auto* word = reinterpret_cast<const int32_t*>(w) + q * 4;
    const Columns columns =
        columns_of(vld1q_s32(word), kWords == 2 ? vld1q_s32(word + kDotPanel) : vdupq_n_s32(0));
    for (int r = 0; r < pairs_of(kRows); ++r) sums[r][q].add(rows[r], columns);
  }
}

// The sums of bytes, an overload of the form that takes one word of one row at a time.
template <int kRows>
inline void sum_words(const DotRuns& runs, WordSums* out) {
  Sums sums[pairs_of(kRows)][kDotColumns / 4];
  const std::byte* w = runs.w;
  for (int64_t run = 0; run < runs.runs; ++run) {
    const std::byte* x = runs.x + run * runs.x_run;
    int64_t i = 0;
    for (; i + 2 <= runs.words; i += 2, x += 8, w += kDotPanel * 8) {
      add_products<kRows, 2>(x, runs.x_stride, w, sums);
    }
    if (i < runs.words) {
      add_products<kRows, 1>(x, runs.x_stride, w, sums);
      w += kDotPanel * 4;
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    const auto& row = sums[r / 2];
    for (int v = 0; v < kDotVectors; ++v) {
      out[r * kDotVectors + v] = {row[2 * v].row(r % 2), row[2 * v + 1].row(r % 2)};
    }
  }
}

// clang-format off
#include "kernels/dot_products.inc"
// clang-format on

}  // namespace i8mm
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

// The same with products of 2 x 8 by 8 x 2 bytes.
const KernelTable* neon_i8mm_kernels() {
  if (!cpu_features().neon_dotprod || !cpu_features().neon_i8mm) return nullptr;
  static constexpr DotTable kDot = i8mm::dot_table(true, false);
  static constexpr KernelTable kTable =
      make_table("neon-i8mm", i8mm::quantise_tile, i8mm::tile_product, &kDot);
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
const KernelTable* neon_i8mm_kernels() {
  return nullptr;
}

}  // namespace fastvlm

#endif
