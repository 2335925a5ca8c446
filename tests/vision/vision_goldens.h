// SPDX-License-Identifier: Apache-2.0
// Reference tensors of the towers, brought into our order, and the comparison with them.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "formats/safetensors.h"

namespace fastvlm::test {

// [channels, height, width] -> [height, width, channels]
template <typename T>
std::vector<T> channels_last(const std::vector<T>& planes, int64_t channels) {
  const size_t depth = static_cast<size_t>(channels);
  const size_t area = planes.size() / depth;
  std::vector<T> pixels(planes.size());
  for (size_t c = 0; c < depth; ++c) {
    for (size_t i = 0; i < area; ++i) pixels[i * depth + c] = planes[c * area + i];
  }
  return pixels;
}

struct Picture {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<float> pixels;  // [height, width, 3]
};

// A U8 tensor [3, height, width] as the tower's input: divided by 255, nothing else.
inline Picture picture(const TensorView& planes) {
  std::vector<float> values;
  for (const std::byte byte : planes.bytes) {
    values.push_back(static_cast<float>(std::to_integer<int>(byte)) / 255.0F);
  }
  return {planes.shape.at(1), planes.shape.at(2), channels_last(values, 3)};
}

// |a - b| <= absolute + relative * |b| for every element; `a` ours, `b` the reference.
inline void expect_close(const float* a, const std::vector<float>& b, double absolute,
                         double relative, const std::string& what) {
  double worst = 0.0;
  size_t at = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    const double excess =
        std::abs(double{a[i]} - double{b[i]}) / (absolute + relative * std::abs(double{b[i]}));
    if (!(excess <= worst)) {
      worst = excess;
      at = i;
    }
  }
  EXPECT_LE(worst, 1.0) << what << "[" << at << "]: " << a[at] << ", reference " << b[at];
}

}  // namespace fastvlm::test
