// SPDX-License-Identifier: Apache-2.0
// MLX's affine quantisation with 4 or 8 bits, as its CPU code computes it (docs/FORMATS.md):
// w = scale * q + bias for each group of neighbours in a row; the end of the range with the larger
// magnitude is exact and zero lies on the grid, so that scales may be negative.
#pragma once

#include <cstdint>

namespace fastvlm {

// Quantises one row of `cols` values: cols * bits / 32 words (lowest element in the lowest bits)
// and cols / group scales and biases. These are f32; the format stores them rounded to the
// weights' own type. Requires bits 4 or 8, cols % group == 0, group % 32 == 0, finite values.
void quantize_affine_row(const float* row, int64_t cols, int bits, int64_t group, uint32_t* words,
                         float* scales, float* biases);

}  // namespace fastvlm
