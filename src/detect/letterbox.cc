// SPDX-License-Identifier: Apache-2.0
#include "detect/letterbox.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "image/resize.h"

namespace fastvlm {
namespace {

constexpr uint8_t kGrey = 114;

// The smaller half of a padding.
int first_half(int padding) {
  return static_cast<int>(std::nearbyint(padding / 2.0 - 0.1));
}

}  // namespace

Letterbox plan_letterbox(int width, int height, int size, bool square) {
  Letterbox plan;
  plan.ratio = std::min(static_cast<double>(size) / height, static_cast<double>(size) / width);
  // Half to even, as Python rounds. A picture thousands of times longer than wide keeps a pixel.
  plan.scaled_width = std::max(static_cast<int>(std::nearbyint(width * plan.ratio)), 1);
  plan.scaled_height = std::max(static_cast<int>(std::nearbyint(height * plan.ratio)), 1);
  int right = size - plan.scaled_width;
  int below = size - plan.scaled_height;
  if (!square) {
    right %= kDetectorStride;
    below %= kDetectorStride;
  }
  plan.left = first_half(right);
  plan.top = first_half(below);
  plan.width = plan.scaled_width + right;
  plan.height = plan.scaled_height + below;
  return plan;
}

Image apply_letterbox(const Image& image, const Letterbox& plan) {
  const bool same = image.width == plan.scaled_width && image.height == plan.scaled_height;
  const Image scaled = same ? Image{} : resize_linear(image, plan.scaled_width, plan.scaled_height);
  const Image& picture = same ? image : scaled;
  Image out = blank_image(plan.width, plan.height);
  std::fill(out.rgb.begin(), out.rgb.end(), kGrey);
  for (int y = 0; y < picture.height; ++y) {
    std::memcpy(out.row(plan.top + y) + static_cast<size_t>(plan.left) * 3, picture.row(y),
                picture.stride());
  }
  return out;
}

void network_input(const Image& letterboxed, float* out, ThreadPool& pool) {
  std::array<float, 256> values{};
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) / 255.0F;
  const uint8_t* const rgb = letterboxed.rgb.data();
  const auto count = static_cast<int64_t>(letterboxed.rgb.size());
  pool.parallel_for(count, 4096, [&](int64_t begin, int64_t end) {
    std::transform(rgb + begin, rgb + end, out + begin,
                   [&](uint8_t value) { return values[value]; });
  });
}

Box box_in_picture(const Box& box, const Letterbox& plan, int width, int height) {
  const auto ratio = static_cast<float>(plan.ratio);
  const auto x = [&](float value) {
    return std::clamp((value - static_cast<float>(plan.left)) / ratio, 0.0F,
                      static_cast<float>(width));
  };
  const auto y = [&](float value) {
    return std::clamp((value - static_cast<float>(plan.top)) / ratio, 0.0F,
                      static_cast<float>(height));
  };
  return {x(box.x0), y(box.y0), x(box.x1), y(box.y1)};
}

}  // namespace fastvlm
