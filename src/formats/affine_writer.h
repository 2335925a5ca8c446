// SPDX-License-Identifier: Apache-2.0
// A matrix that is quantised on its way into a file: rows come one by one and the matrix is never
// in memory as floats. It becomes the three tensors of MLX (docs/FORMATS.md).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/safetensors.h"

namespace fastvlm {

struct AffineSettings {
  int bits = 4;        // as is_affine_width() has it
  int64_t group = 64;  // columns that share a scale and a bias; a multiple of 32
};

// `name` ends in ".weight"; beside it come its .scales and .biases, both F16.
std::array<TensorDeclaration, 3> declare_affine(std::string_view name, int64_t rows, int64_t cols,
                                                const AffineSettings& settings);

// Fills `values` [cols] with a row. Called by several threads at a time.
using RowSource = std::function<void(int64_t row, float* values)>;
// Quantises a row as quantize_affine_row() does. Called by several threads at a time.
using RowQuantizer =
    std::function<void(const float* values, uint32_t* words, float* scales, float* biases)>;

// Appends the three tensors, in the order of their declaration.
Status append_affine(SafetensorsWriter& writer, int64_t rows, int64_t cols,
                     const AffineSettings& settings, const RowSource& source,
                     const RowQuantizer& quantize, ThreadPool& pool);

}  // namespace fastvlm
