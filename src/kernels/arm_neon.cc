// SPDX-License-Identifier: Apache-2.0
// The sets for 64-bit Arm: NEON, which all have, and NEON with dot products of bytes (Armv8.2). Two
// registers make one vector of eight floats, so that the .inc files do what they do on AVX2.
#include "base/cpu.h"
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

struct V {
  float32x4_t low;
  float32x4_t high;
};
struct Words {
  int32x4_t low;
  int32x4_t high;
};
constexpr int64_t kLanes = 8;
constexpr int kTileRows = 6;  // 6 x 16 sums are 24 registers of 32; 4 of weights and one of x
constexpr int kTilePanels = 1;

inline V load(const float* p) {
  return {vld1q_f32(p), vld1q_f32(p + 4)};
}
inline void store(float* p, V v) {
  vst1q_f32(p, v.low);
  vst1q_f32(p + 4, v.high);
}
inline V all(float x) {
  return {vdupq_n_f32(x), vdupq_n_f32(x)};
}
inline V zero() {
  return all(0.0F);
}
inline V add(V a, V b) {
  return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)};
}
inline V sub(V a, V b) {
  return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)};
}
inline V mul(V a, V b) {
  return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)};
}
inline V div(V a, V b) {
  return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)};
}
inline V multiply_add(V a, V b, V c) {
  return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
}
inline V subtract_product(V c, V a, V b) {
  return {vfmsq_f32(c.low, a.low, b.low), vfmsq_f32(c.high, a.high, b.high)};
}
// The second operand where either is not a number; vminq would give that which is none.
inline V least(V a, V b) {
  return {vbslq_f32(vcltq_f32(a.low, b.low), a.low, b.low),
          vbslq_f32(vcltq_f32(a.high, b.high), a.high, b.high)};
}
inline V greatest(V a, V b) {
  return {vbslq_f32(vcgtq_f32(a.low, b.low), a.low, b.low),
          vbslq_f32(vcgtq_f32(a.high, b.high), a.high, b.high)};
}
inline V rounded(V a) {
  return {vrndnq_f32(a.low), vrndnq_f32(a.high)};
}
inline float32x4_t zero_where(uint32x4_t mask, float32x4_t value) {
  return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(value), mask));
}
inline V zero_where_less(V value, V a, V b) {
  return {zero_where(vcltq_f32(a.low, b.low), value.low),
          zero_where(vcltq_f32(a.high, b.high), value.high)};
}
inline float32x4_t power_of_two(float32x4_t n) {
  const int32x4_t biased = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
  return vreinterpretq_f32_s32(vshlq_n_s32(biased, 23));
}
// 2^n for whole n in -126 .. 127.
inline V power_of_two(V n) {
  return {power_of_two(n.low), power_of_two(n.high)};
}
// a 2^n for whole n in -126 .. 127.
inline V scaled(V a, V n) {
  return mul(a, power_of_two(n));
}

// The first `count` lanes (at most all); the others are zero, or not written.
inline size_t part_bytes(int64_t count) {
  return static_cast<size_t>(std::clamp<int64_t>(count, 0, kLanes)) * sizeof(float);
}
inline V load_part(const float* p, int64_t count) {
  float lanes[kLanes] = {};
  std::memcpy(lanes, p, part_bytes(count));
  return load(lanes);
}
inline void store_part(float* p, V v, int64_t count) {
  float lanes[kLanes];
  store(lanes, v);
  std::memcpy(p, lanes, part_bytes(count));
}

// In the order of AVX2: 0 with 4, with 2 and 6, with the odd ones.
inline float sum_of(V v) {
  const float32x4_t half = vaddq_f32(v.low, v.high);
  const float32x2_t quarter = vadd_f32(vget_low_f32(half), vget_high_f32(half));
  return vget_lane_f32(quarter, 0) + vget_lane_f32(quarter, 1);
}
inline float greatest_of(V v) {
  const V upper = {vextq_f32(v.low, v.low, 2), vextq_f32(v.high, v.high, 2)};
  const V pairs = greatest(v, upper);
  const float32x4_t half = vbslq_f32(vcgtq_f32(pairs.low, pairs.high), pairs.low, pairs.high);
  const float first = vgetq_lane_f32(half, 0);
  const float second = vgetq_lane_f32(half, 1);
  return first > second ? first : second;
}

// a0 b0 a1 b1 ... as two vectors.
inline void store_interleaved(float* p, V a, V b) {
  vst2q_f32(p, (float32x4x2_t{{a.low, b.low}}));
  vst2q_f32(p + kLanes, (float32x4x2_t{{a.high, b.high}}));
}

inline uint16x8_t load_halves(const void* p) {
  return vld1q_u16(static_cast<const uint16_t*>(p));
}
inline V load_f16(const void* p) {
  const float16x8_t halves = vreinterpretq_f16_u16(load_halves(p));
  return {vcvt_f32_f16(vget_low_f16(halves)), vcvt_f32_f16(vget_high_f16(halves))};
}
inline V load_bf16(const void* p) {
  const uint16x8_t halves = load_halves(p);
  return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(halves), 16)),
          vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(halves), 16))};
}

inline Words load_words(const void* p) {
  const auto* words = static_cast<const int32_t*>(p);
  return {vld1q_s32(words), vld1q_s32(words + 4)};
}
inline Words all_words(int32_t word) {
  return {vdupq_n_s32(word), vdupq_n_s32(word)};
}
inline V to_floats(Words words) {
  return {vcvtq_f32_s32(words.low), vcvtq_f32_s32(words.high)};
}
inline int32x4_t masked(int32x4_t words, int32_t mask) {
  return vandq_s32(words, vdupq_n_s32(mask));
}
template <int kShift>
inline int32x4_t shifted(int32x4_t words) {
  return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(words), kShift));
}
// The field of `kBits` bits that starts at bit `kShift`, times 2^kShift unless it is the last one.
template <int kBits, int kShift>
inline V field(Words words) {
  if constexpr (kShift + kBits == 32) {
    return to_floats({shifted<kShift>(words.low), shifted<kShift>(words.high)});
  } else {
    constexpr int kMask = ((1 << kBits) - 1) << kShift;
    return to_floats({masked(words.low, kMask), masked(words.high, kMask)});
  }
}
inline Words low_nibbles(Words words) {
  constexpr int32_t kLow = 0x0f0f0f0f;
  return {masked(words.low, kLow), masked(words.high, kLow)};
}
inline Words high_nibbles(Words words) {
  return low_nibbles({shifted<4>(words.low), shifted<4>(words.high)});
}
// Whole numbers of eight columns as bytes, four to a word: in order for 8-bit weights; for 4-bit
// ones the even columns, then the odd ones.
template <int kBits>
inline void store_columns(V values, int32_t* out) {
  int32x4_t first = vcvtq_s32_f32(values.low);
  int32x4_t second = vcvtq_s32_f32(values.high);
  if constexpr (kBits == 4) {
    const int32x4_t even = vuzp1q_s32(first, second);
    second = vuzp2q_s32(first, second);
    first = even;
  }
  const int8x8_t bytes = vqmovn_s16(vcombine_s16(vqmovn_s32(first), vqmovn_s32(second)));
  std::memcpy(out, &bytes, sizeof bytes);
}

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
inline Words add(Words a, Words b) {
  return {vaddq_s32(a.low, b.low), vaddq_s32(a.high, b.high)};
}

constexpr int kMostTileRows = 6;  // 12 sums and 12 totals of 32 registers

// The others use functions.inc; quantised.inc and winograd.inc use products.inc.
// clang-format off
#include "kernels/functions.inc"
#include "kernels/depthwise.inc"
#include "kernels/products.inc"
#include "kernels/rows.inc"
#include "kernels/winograd.inc"
// clang-format on

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

#include "kernels/quantised.inc"

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

#include "kernels/quantised.inc"

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
  static constexpr KernelTable kTable{
      "neon",
      panel_product,
      kTilePanels,
      expand,
      prepare_vector,
      vector_product,
      kMostTileRows,
      plain::quantise_tile,
      plain::tile_product,
      depthwise,
      winograd_input,
      winograd_output,
      exponentials,
      maximum,
      rms_norm,
      layer_norm,
      affine,
      silu_multiply,
      scale_gelu,
      rotate,
  };
  return &kTable;
}

// The same with dot products of bytes.
const KernelTable* neon_dotprod_kernels() {
  if (!cpu_features().neon_dotprod) return nullptr;
  static const KernelTable kTable = [] {
    KernelTable table = *neon_kernels();
    table.name = "neon-dotprod";
    table.quantise_tile = dotprod::quantise_tile;
    table.tile_product = dotprod::tile_product;
    return table;
  }();
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
