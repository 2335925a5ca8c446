// SPDX-License-Identifier: Apache-2.0
#include "formats/affine.h"

#include <algorithm>
#include <cmath>
#include <vector>

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

bool is_affine_width(int64_t bits) {
  return bits == 2 || bits == 3 || bits == 4 || bits == 6 || bits == 8;
}

void pack_levels(std::span<const uint8_t> levels, int bits, uint32_t* words) {
  uint64_t pending = 0;  // bits not yet written, the next one lowest
  int filled = 0;
  for (const uint8_t level : levels) {
    pending |= static_cast<uint64_t>(level) << filled;
    filled += bits;
    if (filled < 32) continue;
    *words++ = static_cast<uint32_t>(pending);
    pending >>= 32;
    filled -= 32;
  }
}

void unpack_levels(const void* words, int bits, std::span<uint8_t> levels) {
  const auto* bytes = static_cast<const uint8_t*>(words);
  const auto mask = static_cast<uint8_t>((1 << bits) - 1);
  unsigned pending = 0;
  int filled = 0;
  for (uint8_t& level : levels) {
    if (filled < bits) {
      pending |= static_cast<unsigned>(*bytes++) << filled;
      filled += 8;
    }
    level = static_cast<uint8_t>(pending & mask);
    pending >>= bits;
    filled -= bits;
  }
}

void quantize_affine_row(const float* row, int64_t cols, int bits, int64_t group, uint32_t* words,
                         float* scales, float* biases) {
  const auto steps = static_cast<float>((1 << bits) - 1);
  std::vector<uint8_t> levels(static_cast<size_t>(group));
  for (int64_t begin = 0; begin < cols; begin += group) {
    const Grid grid = fit_grid(row + begin, group, steps);
    *scales++ = grid.scale;
    *biases++ = grid.bias;
    for (int64_t i = 0; i < group; ++i) {
      const float level = std::rint((row[begin + i] - grid.bias) / grid.scale);
      levels[static_cast<size_t>(i)] = static_cast<uint8_t>(std::clamp(level, 0.0F, steps));
    }
    pack_levels(levels, bits, words);
    words += group * bits / 32;
  }
}

}  // namespace fastvlm
