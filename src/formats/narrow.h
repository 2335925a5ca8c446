// SPDX-License-Identifier: Apache-2.0
// f32 rounded to 16 bits, as bit patterns: to nearest, ties to even; NaN stays NaN. The way back
// is kernels/half.h.
#pragma once

#include <bit>
#include <cstdint>

namespace fastvlm {

inline uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000U);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);  // to infinity
  if (magnitude < 0x38800000U) {
    // Subnormal: adding 0.5 puts the last place of a half (2^-24) at the last place of the sum.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000U));
  }
  const uint32_t rounded = magnitude + 0xFFFU + (magnitude >> 13 & 1U) - 0x38000000U;
  return static_cast<uint16_t>(sign | rounded >> 13);
}

inline uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>(bits >> 16 | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

}  // namespace fastvlm
