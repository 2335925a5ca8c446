// SPDX-License-Identifier: Apache-2.0
// Sixteen-bit floats, widened exactly.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace fastvlm {

inline float bf16_to_f32(uint16_t bits) {
  return std::bit_cast<float>(uint32_t{bits} << 16);
}

inline float f16_to_f32(uint16_t bits) {
  constexpr float kRebias = 0x1p112F;  // 2^(127 - 15): exact for normal numbers and denormals alike
  const uint32_t sign = uint32_t{bits & 0x8000U} << 16;
  const uint32_t magnitude = uint32_t{bits & 0x7FFFU} << 13;
  const auto rebiased = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * kRebias);
  // Infinity and NaN have all bits of the exponent here as there.
  const uint32_t special = (bits & 0x7C00U) == 0x7C00U ? 0x7F800000U : 0;
  return std::bit_cast<float>(rebiased | special | sign);
}

// An element at any address.
template <typename T>
T load_unaligned(const void* data, int64_t index = 0) {
  T value;
  std::memcpy(&value, static_cast<const char*>(data) + index * int64_t{sizeof(T)}, sizeof(T));
  return value;
}

}  // namespace fastvlm
