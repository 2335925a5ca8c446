// SPDX-License-Identifier: Apache-2.0
// MLX's affine quantisation with 2, 3, 4, 6 or 8 bits, as its CPU code computes it
// (docs/FORMATS.md): w = scale * level + bias for each group of neighbours in a row; the end of the
// range with the larger magnitude is exact and zero lies on the grid, so that scales may be
// negative.
#pragma once

#include <cstdint>
#include <span>

namespace fastvlm {

bool is_affine_width(int64_t bits);  // 2, 3, 4, 6 or 8

// The levels of a row are a stream of bits: level i takes bits [i * bits, (i + 1) * bits), the
// lowest first, of words whose lowest bits come first. With 3 and 6 bits levels cross from one word
// into the next. Requires levels.size() * bits % 32 == 0; `words` has that many words.
void pack_levels(std::span<const uint8_t> levels, int bits, uint32_t* words);
// The reverse; `words` may have any alignment.
void unpack_levels(const void* words, int bits, std::span<uint8_t> levels);

// Quantises one row of `cols` values: cols * bits / 32 words and cols / group scales and biases.
// These are f32; the format stores them rounded to the weights' own type. Requires a width that
// MLX has, cols % group == 0, group % 32 == 0, finite values.
void quantize_affine_row(const float* row, int64_t cols, int bits, int64_t group, uint32_t* words,
                         float* scales, float* biases);

}  // namespace fastvlm
