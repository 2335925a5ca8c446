// SPDX-License-Identifier: Apache-2.0
#include "quantize/affine_search.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "formats/affine.h"
#include "formats/narrow.h"
#include "kernels/half.h"

namespace fastvlm {
namespace {

constexpr int kRanges = 16;         // tried a group, the whole one first
constexpr float kNarrowest = 0.5F;  // of the whole range
constexpr int kFits = 2;            // of scale and bias to the levels, for each range

float as_f16(float value) {
  return f16_to_f32(f32_to_f16(value));
}

// To nearest, halves to even, for magnitudes below 2^22: what rint() does, without a call.
float round_small(float value) {
  constexpr float kShift = 12582912.0F;  // 1.5 * 2^23: its last bit counts ones
  return (value + kShift) - kShift;
}

struct Grid {
  float scale = 1;
  float bias = 0;
};

// One group of a row, with the best grid found so far.
class Group {
 public:
  Group(const float* values, const float* importance, int64_t size, int bits)
      : values_(values),
        importance_(importance),
        levels_(static_cast<size_t>(size)),
        best_levels_(levels_.size()),
        steps_(static_cast<float>((1 << bits) - 1)) {}

  // Takes the grid of a range, fits it, and keeps whatever is best.
  void try_range(float low, float high) {
    Grid grid{(high - low) / steps_, low};
    for (int fit = 0; fit <= kFits; ++fit) {
      grid = {as_f16(grid.scale), as_f16(grid.bias)};
      if (grid.scale == 0) return;
      try_grid(grid);
      if (fit < kFits && !fitted(grid)) return;
    }
  }

  // Levels to nearest on a grid that F16 can hold.
  void try_grid(Grid grid) {
    const float inverse = 1 / grid.scale;
    double error = 0;
    for (size_t i = 0; i < levels_.size(); ++i) {
      const float level = std::clamp(round_small((values_[i] - grid.bias) * inverse), 0.0F, steps_);
      const float miss = values_[i] - (grid.scale * level + grid.bias);
      levels_[i] = level;
      error += static_cast<double>(weight(i) * miss * miss);
    }
    if (error < best_error_) keep(grid, error);
  }

  // MLX's own choice, as the format stores it.
  void start(Grid grid, std::span<const uint8_t> levels) {
    grid = {as_f16(grid.scale), as_f16(grid.bias)};
    double error = 0;
    for (size_t i = 0; i < levels_.size(); ++i) {
      levels_[i] = static_cast<float>(levels[i]);
      const float miss = values_[i] - (grid.scale * levels_[i] + grid.bias);
      error += static_cast<double>(weight(i) * miss * miss);
    }
    keep(grid, error);
  }

  Grid best() const { return best_; }
  const std::vector<float>& best_levels() const { return best_levels_; }

 private:
  float weight(size_t i) const { return importance_ == nullptr ? 1 : importance_[i]; }
  void keep(Grid grid, double error) {
    best_ = grid;
    best_error_ = error;
    best_levels_ = levels_;
  }

  // Weighted least squares of the values over their levels; false when all levels are one.
  bool fitted(Grid& grid) const {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < levels_.size(); ++i) {
      const auto w = static_cast<double>(weight(i));
      const auto level = static_cast<double>(levels_[i]);
      const auto value = static_cast<double>(values_[i]);
      n += w;
      x += w * level;
      y += w * value;
      xx += w * level * level;
      xy += w * level * value;
    }
    const double spread = n * xx - x * x;
    if (!(spread > 1e-12 * n * xx)) return false;
    const double scale = (n * xy - x * y) / spread;
    grid = {static_cast<float>(scale), static_cast<float>((y - scale * x) / n)};
    return true;
  }

  const float* values_;
  const float* importance_;
  std::vector<float> levels_;
  std::vector<float> best_levels_;
  Grid best_;
  double best_error_ = 0;
  float steps_;
};

}  // namespace

void search_affine_row(const float* row, const float* importance, int64_t cols, int bits,
                       int64_t group, uint32_t* words, float* scales, float* biases) {
  std::vector<uint8_t> levels(static_cast<size_t>(group));
  for (int64_t begin = 0; begin < cols; begin += group) {
    const float* values = row + begin;
    Group search(values, importance == nullptr ? nullptr : importance + begin, group, bits);
    quantize_affine_row(values, group, bits, group, words, scales, biases);
    unpack_levels(words, bits, levels);
    search.start({*scales, *biases}, levels);

    const auto [low, high] = std::minmax_element(values, values + group);
    const float middle = (*low + *high) / 2;
    const float half = (*high - *low) / 2;
    for (int i = 0; i < kRanges; ++i) {
      const float part = 1 - (1 - kNarrowest) * static_cast<float>(i) / kRanges;
      search.try_range(middle - half * part, middle + half * part);
    }

    std::transform(search.best_levels().begin(), search.best_levels().end(), levels.begin(),
                   [](float level) { return static_cast<uint8_t>(level); });
    pack_levels(levels, bits, words);
    words += group * bits / 32;
    *scales++ = search.best().scale;
    *biases++ = search.best().bias;
  }
}

}  // namespace fastvlm
