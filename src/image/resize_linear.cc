// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "image/resize.h"

namespace fastvlm {
namespace {

constexpr int kOne = 1 << 11;  // a weight of 1

// An output pixel or row is first * in[index] + second * in[index + 1], the indexes not above the
// last.
struct Tap {
  int index = 0;
  int first = kOne;
  int second = 0;
};

int weight(float fraction) {
  return static_cast<int>(std::lrint(fraction * static_cast<float>(kOne)));
}

// `clamped`: at the edges one pixel counts alone. Rows are not clamped but repeated, which rounds
// otherwise.
std::vector<Tap> taps(int in, int out, bool clamped) {
  const double scale = 1.0 / (static_cast<double>(out) / in);
  std::vector<Tap> list(static_cast<size_t>(out));
  for (int i = 0; i < out; ++i) {
    auto position = static_cast<float>((i + 0.5) * scale - 0.5);
    auto index = static_cast<int>(std::floor(position));
    position -= static_cast<float>(index);
    if (clamped && (index < 0 || index >= in - 1)) {
      index = std::clamp(index, 0, in - 1);
      position = 0.0F;
    }
    list[static_cast<size_t>(i)] = {index, weight(1.0F - position), weight(position)};
  }
  return list;
}

Image halved(const Image& image) {
  Image out = blank_image(image.width / 2, image.height / 2);
  for (int y = 0; y < out.height; ++y) {
    const uint8_t* upper = image.row(2 * y);
    const uint8_t* lower = image.row(2 * y + 1);
    uint8_t* to = out.row(y);
    for (size_t i = 0; i < out.stride(); ++i) {
      const size_t at = i / 3 * 6 + i % 3;
      to[i] =
          static_cast<uint8_t>((upper[at] + upper[at + 3] + lower[at] + lower[at + 3] + 2) >> 2);
    }
  }
  return out;
}

// A row scaled horizontally, 11 bits finer than a byte.
void scale_row(const uint8_t* in, int width, const std::vector<Tap>& columns, int* out) {
  for (const Tap& tap : columns) {
    const uint8_t* const left = in + static_cast<ptrdiff_t>(tap.index) * 3;
    const uint8_t* const right = tap.index + 1 < width ? left + 3 : left;
    for (int c = 0; c < 3; ++c) *out++ = left[c] * tap.first + right[c] * tap.second;
  }
}

}  // namespace

Image resize_linear(const Image& image, int width, int height) {
  if (image.width == 2 * width && image.height == 2 * height) return halved(image);
  const std::vector<Tap> columns = taps(image.width, width, true);
  const std::vector<Tap> lines = taps(image.height, height, false);
  Image out = blank_image(width, height);
  // The two scaled rows at hand, and which rows they are.
  std::vector<int> rows[2] = {std::vector<int>(out.stride()), std::vector<int>(out.stride())};
  int held[2] = {-1, -1};
  for (int y = 0; y < height; ++y) {
    const Tap& line = lines[static_cast<size_t>(y)];
    const int wanted[2] = {std::clamp(line.index, 0, image.height - 1),
                           std::clamp(line.index + 1, 0, image.height - 1)};
    if (held[1] == wanted[0]) {
      std::swap(rows[0], rows[1]);
      std::swap(held[0], held[1]);
    }
    for (int i = 0; i < 2; ++i) {
      if (held[i] == wanted[i]) continue;
      scale_row(image.row(wanted[i]), image.width, columns, rows[i].data());
      held[i] = wanted[i];
    }
    uint8_t* const to = out.row(y);
    for (size_t i = 0; i < out.stride(); ++i) {
      const int upper = (line.first * (rows[0][i] >> 4)) >> 16;
      const int lower = (line.second * (rows[1][i] >> 4)) >> 16;
      to[i] = static_cast<uint8_t>((upper + lower + 2) >> 2);
    }
  }
  return out;
}

}  // namespace fastvlm
