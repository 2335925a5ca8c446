// SPDX-License-Identifier: Apache-2.0
#include "image/resize.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <vector>

namespace fastvlm {
namespace {

constexpr int kFractionBits = 22;  // of the fixed-point weights
constexpr int kHalf = 1 << (kFractionBits - 1);

// Which inputs make up one output, and how much each weighs.
struct Taps {
  int begin = 0;  // first input, in coordinates of the picture
  int count = 0;
  size_t weights = 0;         // where the weights begin in Axis::weights
  int32_t margin_weight = 0;  // of all the inputs that lie on the canvas beside the picture
};

struct Axis {
  std::vector<Taps> taps;        // one an output
  std::vector<int32_t> weights;  // kFractionBits fixed point; those of one output sum to about 1
};

// One axis of the canvas: `length` samples, of which `picture` samples from `start` on are the
// picture's.
struct Source {
  int length = 0;
  int start = 0;
  int picture = 0;
};

// Keys' cubic with a = -0.5.
double cubic(double x) {
  constexpr double kA = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * kA;
  return 0.0;
}

// Outputs [first, first + count) of an axis that is scaled to `full` samples. When the length stays
// the same, the only weight that is not zero is exactly 1, so that such an axis needs no special
// case.
Axis plan_axis(const Source& source, int full, int first, int count) {
  const double scale = static_cast<double>(source.length) / full;
  const double filter_scale = std::max(scale, 1.0);
  const double support = 2.0 * filter_scale;
  const double inverse = 1.0 / filter_scale;
  Axis axis;
  std::vector<double> exact;
  for (int i = first; i < first + count; ++i) {
    const double centre = (i + 0.5) * scale;
    // NOLINTBEGIN(bugprone-incorrect-roundings): Pillow truncates so, also below zero.
    const int begin = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + support + 0.5), source.length);
    // NOLINTEND(bugprone-incorrect-roundings)
    exact.clear();
    double sum = 0.0;
    for (int j = begin; j < end; ++j) {
      exact.push_back(cubic((j - centre + 0.5) * inverse));
      sum += exact.back();
    }
    Taps taps;
    taps.begin = std::clamp(begin - source.start, 0, source.picture);
    taps.weights = axis.weights.size();
    for (int j = begin; j < end; ++j) {
      const double fixed = exact[static_cast<size_t>(j - begin)] / sum * (1 << kFractionBits);
      const auto weight = static_cast<int32_t>(fixed < 0.0 ? fixed - 0.5 : fixed + 0.5);
      const bool inside = j >= source.start && j - source.start < source.picture;
      if (inside) {
        axis.weights.push_back(weight);
        ++taps.count;
      } else {
        taps.margin_weight += weight;
      }
    }
    axis.taps.push_back(taps);
  }
  return axis;
}

uint8_t to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

// One row of the picture, between margins of the background: -> [axis.taps.size(), 3].
void resample_row(const uint8_t* in, const Axis& axis, const std::array<uint8_t, 3>& background,
                  uint8_t* out) {
  for (const Taps& taps : axis.taps) {
    const int32_t* weights = axis.weights.data() + taps.weights;
    const uint8_t* pixel = in + static_cast<size_t>(taps.begin) * 3;
    int32_t red = kHalf + background[0] * taps.margin_weight;
    int32_t green = kHalf + background[1] * taps.margin_weight;
    int32_t blue = kHalf + background[2] * taps.margin_weight;
    for (int j = 0; j < taps.count; ++j, pixel += 3) {
      red += pixel[0] * weights[j];
      green += pixel[1] * weights[j];
      blue += pixel[2] * weights[j];
    }
    out[0] = to_byte(red);
    out[1] = to_byte(green);
    out[2] = to_byte(blue);
    out += 3;
  }
}

// sums[i] += bytes[i] * weight
void accumulate(const uint8_t* bytes, int32_t weight, std::vector<int32_t>& sums) {
  const size_t size = sums.size();
  int32_t* sum = sums.data();
  for (size_t i = 0; i < size; ++i) sum[i] += bytes[i] * weight;
}

// What a row of the canvas above or below the picture becomes.
Image margin_row(const Canvas& canvas, const Window& window) {
  const Axis across = plan_axis({canvas.width, 0, 0}, window.full_width, window.left, window.width);
  Image row = blank_image(window.width, 1);
  resample_row(nullptr, across, canvas.background, row.row(0));
  return row;
}

}  // namespace

Image resample(const Image& image, const Canvas& canvas, const Window& window) {
  assert(canvas.left >= 0 && canvas.left + image.width <= canvas.width);
  assert(canvas.top >= 0 && canvas.top + image.height <= canvas.height);
  const Axis across = plan_axis({canvas.width, canvas.left, image.width}, window.full_width,
                                window.left, window.width);
  const Axis down = plan_axis({canvas.height, canvas.top, image.height}, window.full_height,
                              window.top, window.height);

  // First across, for the rows that some output looks at, and once for a row that is all margin.
  const int first_row = down.taps.front().begin;
  const int end_row = down.taps.back().begin + down.taps.back().count;
  Image narrow = {window.width, end_row - first_row, {}};
  narrow.rgb.resize(narrow.stride() * static_cast<size_t>(narrow.height));
  for (int y = first_row; y < end_row; ++y) {
    resample_row(image.row(y), across, canvas.background, narrow.row(y - first_row));
  }
  const Image margin = margin_row(canvas, window);

  // Then down.
  Image result = blank_image(window.width, window.height);
  std::vector<int32_t> sums(result.stride());
  for (int i = 0; i < window.height; ++i) {
    const Taps& taps = down.taps[static_cast<size_t>(i)];
    std::fill(sums.begin(), sums.end(), kHalf);
    accumulate(margin.row(0), taps.margin_weight, sums);
    for (int j = 0; j < taps.count; ++j) {
      accumulate(narrow.row(taps.begin + j - first_row),
                 down.weights[taps.weights + static_cast<size_t>(j)], sums);
    }
    std::transform(sums.begin(), sums.end(), result.row(i), to_byte);
  }
  return result;
}

Image resize_bicubic(const Image& image, int width, int height) {
  return resample(image, {image.width, image.height, 0, 0, {}},
                  {width, height, 0, 0, width, height});
}

}  // namespace fastvlm
