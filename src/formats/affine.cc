// SPDX-License-Identifier: Apache-2.0
#include "formats/affine.h"

#include <algorithm>
#include <cmath>

namespace fastvlm {
namespace {

struct Grid {
  float scale;
  float bias;
};

Grid fit_grid(const float* values, int64_t count, float steps) {
  const auto [low_at, high_at] = std::minmax_element(values, values + count);
  const float low = *low_at;
  const float high = *high_at;
  const bool low_dominates = std::abs(low) > std::abs(high);
  const float width = std::max((high - low) / steps, 1e-7F);
  const float scale = low_dominates ? width : -width;
  const float edge = low_dominates ? low : high;
  // The edge's distance from zero in whole steps; the step is then bent so that this is exact.
  const float steps_to_edge = std::rint(edge / scale);
  if (steps_to_edge == 0) return {scale, 0};
  return {edge / steps_to_edge, edge};
}

}  // namespace

void quantize_affine_row(const float* row, int64_t cols, int bits, int64_t group, uint32_t* words,
                         float* scales, float* biases) {
  const auto steps = static_cast<float>((1 << bits) - 1);
  const int64_t in_word = 32 / bits;
  for (int64_t begin = 0; begin < cols; begin += group) {
    const Grid grid = fit_grid(row + begin, group, steps);
    *scales++ = grid.scale;
    *biases++ = grid.bias;
    for (int64_t i = begin; i < begin + group; i += in_word) {
      uint32_t word = 0;
      for (int64_t j = 0; j < in_word; ++j) {
        const float q = std::rint((row[i + j] - grid.bias) / grid.scale);
        const auto level = static_cast<uint32_t>(std::clamp(q, 0.0F, steps));
        word |= level << (static_cast<int64_t>(bits) * j);
      }
      *words++ = word;
    }
  }
}

}  // namespace fastvlm
