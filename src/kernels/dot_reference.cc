// SPDX-License-Identifier: Apache-2.0
// The plain twin of the dot products: what the fast ones must give, as short as it can be said.
#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/dot_kernels.h"
#include "kernels/half.h"
#include "kernels/reference_epilogue.h"

namespace fastvlm {
namespace {

GroupScale quantise(const float* x, int64_t count, uint8_t* codes) {
  const auto [low, high] = std::minmax_element(x, x + count);
  const float base = *low;
  const float range = *high - base;
  const float inverse = range > kLeastRange ? 255.0F / range : 0.0F;
  float probe = 0.0F;
  for (int64_t i = 0; i < count; ++i) {
    const float steps = std::nearbyint((x[i] - base) * inverse);
    codes[i] = static_cast<uint8_t>(std::isfinite(steps) ? steps : 0.0F);
    probe += x[i] * 0.0F;  // no number where x is not finite
  }
  return {range / 255.0F + probe, base};
}

uint16_t nearest_bf16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return static_cast<uint16_t>((bits >> 16) | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

void round_to_bf16(const float* x, int64_t count, uint16_t* out) {
  std::transform(x, x + count, out, nearest_bf16);
}

// Bytes from the beginning of a row of x to its column c, a number of `width` bytes.
int64_t offset_of(const DotProduct& p, int64_t c, int64_t width) {
  const int64_t run_bytes = p.w->words / p.runs * 4;
  return c * width / run_bytes * p.x_run + c * width % run_bytes;
}

// Columns [begin, end) of row r of x times those of output j.
float sum_of_codes(const DotProduct& p, int64_t r, int64_t j, int64_t begin, int64_t end) {
  int32_t sum = 0;
  for (int64_t c = begin; c < end; ++c) {
    const auto x = load_unaligned<uint8_t>(p.x + r * p.x_stride + offset_of(p, c, 1), 0);
    const auto w =
        load_unaligned<int8_t>(p.w->panel_data(p.panel) + (c / 4 * kDotPanel + j) * 4, c % 4);
    sum += int32_t{x} * int32_t{w};
  }
  return static_cast<float>(sum);
}

float total_int8(const DotProduct& p, int64_t r, int64_t j) {
  const int64_t groups = dot_groups(p.w->cols);
  float total = 0.0F;
  for (int64_t g = 0; g < groups; ++g) {
    const GroupScale& scale = p.x_scales[p.one_scale ? 0 : g * p.rows + r];
    const float sum =
        sum_of_codes(p, r, j, g * kDotGroup, std::min((g + 1) * kDotGroup, p.w->cols));
    const auto block = static_cast<size_t>((p.panel * groups + g) * kDotPanel + j);
    total += scale.step * sum + scale.base * p.w->sums[block];
  }
  return total * p.w->scales[static_cast<size_t>(p.panel * kDotPanel + j)];
}

float total_bf16(const DotProduct& p, int64_t r, int64_t j) {
  float total = 0.0F;
  for (int64_t c = 0; c < p.w->cols; ++c) {
    const auto x = load_unaligned<uint16_t>(p.x + r * p.x_stride + offset_of(p, c, 2), 0);
    const auto w =
        load_unaligned<uint16_t>(p.w->panel_data(p.panel) + (c / 2 * kDotPanel + j) * 4, c % 2);
    total += bf16_to_f32(x) * bf16_to_f32(w);
  }
  return total;
}

void product(const DotProduct& p) {
  const auto total = p.w->arithmetic == Arithmetic::kInt8 ? total_int8 : total_bf16;
  const int64_t columns = std::min(kDotPanel, p.w->rows - p.panel * kDotPanel);
  for (int64_t r = 0; r < p.rows; ++r) {
    for (int64_t j = 0; j < columns; ++j) {
      p.y[r * p.y_stride + j] = reference_epilogue(p.epilogue, r, j, total(p, r, j));
    }
  }
}

}  // namespace

const DotTable kReferenceDot{.fast_int8 = false,
                             .fast_bf16 = false,
                             .quantise = quantise,
                             .round = round_to_bf16,
                             .product = product};

}  // namespace fastvlm
