// SPDX-License-Identifier: Apache-2.0
// A better choice of scales in MLX's format: the same files, a smaller error. MLX takes the whole
// range of a group; here the range may be narrower, so that the many levels in the middle are
// finer, and scale and bias are the least-squares fit to the levels chosen.
#pragma once

#include <cstdint>

namespace fastvlm {

// Quantises one row as quantize_affine_row() does, but with scale, bias and levels of each group
// chosen for a small sum of importance * (w - (scale * level + bias))^2, scale and bias as F16
// stores them. `importance` is [cols], not negative, or null for ones. No group is worse than with
// MLX's own grid as stored. Same requirements as there; values within F16's range.
void search_affine_row(const float* row, const float* importance, int64_t cols, int bits,
                       int64_t group, uint32_t* words, float* scales, float* biases);

}  // namespace fastvlm
