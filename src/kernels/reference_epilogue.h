// SPDX-License-Identifier: Apache-2.0
// What happens to one sum of a product, written plainly for the reference kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernels/matmul.h"

namespace fastvlm {

inline float reference_gelu(float x) {
  const auto wide = static_cast<double>(x);
  return static_cast<float>(0.5 * wide * (1.0 + std::erf(wide * 0.70710678118654752440)));
}

inline float reference_activation(Activation activation, float x) {
  switch (activation) {
    case Activation::kGelu:
      return reference_gelu(x);
    case Activation::kRelu:
      return std::max(x, 0.0F);
    case Activation::kSilu:
      return x / (1.0F + std::exp(-x));
    case Activation::kNone:
      break;
  }
  return x;
}

inline float reference_epilogue(const Epilogue& e, int64_t row, int64_t column, float sum) {
  float value = reference_activation(e.activation, e.bias == nullptr ? sum : sum + e.bias[column]);
  if (e.scale != nullptr) value *= e.scale[column];
  if (e.residual != nullptr) value += e.residual[row * e.residual_stride + column];
  return value;
}

}  // namespace fastvlm
