// SPDX-License-Identifier: Apache-2.0
// Inside the kernels: how the factors of gemm.h become blocks that the inner loops read.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/gemm.h"
#include "kernels/kernel_table.h"

namespace fastvlm {

// Four rows and columns of a stored matrix, transposed.
inline void transpose_4x4(const float* data, int64_t stride, float* out, int64_t out_stride) {
  using Four = float __attribute__((vector_size(16)));
  Four row[4];
  for (int64_t r = 0; r < 4; ++r) std::memcpy(&row[r], data + r * stride, sizeof(Four));
  const Four low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
  const Four high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
  const Four low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  const Four high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  const Four column[4] = {__builtin_shufflevector(low01, low23, 0, 1, 4, 5),
                          __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
                          __builtin_shufflevector(high01, high23, 0, 1, 4, 5),
                          __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
  for (int64_t c = 0; c < 4; ++c) std::memcpy(out + c * out_stride, &column[c], sizeof(Four));
}

// Rows [0, rows) and columns [0, cols) of a stored matrix, transposed: out [cols, rows].
inline void transpose(const float* data, int64_t stride, int64_t rows, int64_t cols, float* out,
                      int64_t out_stride) {
  for (int64_t c = 0; c < cols; c += 4) {
    for (int64_t r = 0; r < rows; r += 4) {
      if (c + 4 <= cols && r + 4 <= rows) {
        transpose_4x4(data + r * stride + c, stride, out + c * out_stride + r, out_stride);
        continue;
      }
      for (int64_t i = c; i < std::min(c + 4, cols); ++i) {
        for (int64_t j = r; j < std::min(r + 4, rows); ++j) {
          out[i * out_stride + j] = data[j * stride + i];
        }
      }
    }
  }
}

// Rows [row, row + rows) and columns [k, k + depth) of a left factor: [rows, depth].
inline void pack_left(const Factor& a, int64_t row, int64_t rows, int64_t k, int64_t depth,
                      float* out) {
  if (a.transposed) {
    return transpose(a.data + k * a.stride + row, a.stride, depth, rows, out, depth);
  }
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(out + r * depth, a.data + (row + r) * a.stride + k,
                static_cast<size_t>(depth) * sizeof(float));
  }
}

// The right factors. pack() makes panels [depth, 16] of rows [k, k + depth) and columns
// [column, column + width); columns past the end are zero. k is a multiple of row_grain() and
// column one of column_grain().

struct PlainRight {
  const Factor& b;

  static int64_t row_grain() { return 1; }
  static int64_t column_grain() { return kPanel; }
  void pack(int64_t column, int64_t width, int64_t k, int64_t depth, float* out) const {
    for (int64_t c = 0; c < width; c += kPanel, out += depth * kPanel) {
      const int64_t count = std::min(kPanel, width - c);
      if (count < kPanel) std::fill(out, out + depth * kPanel, 0.0F);
      if (b.transposed) {
        transpose(b.data + (column + c) * b.stride + k, b.stride, count, depth, out, kPanel);
        continue;
      }
      for (int64_t i = 0; i < depth; ++i) {
        std::copy_n(b.data + (k + i) * b.stride + column + c, count, out + i * kPanel);
      }
    }
  }
};

// W^T: its panels are the packed ones.
struct ForwardWeights {
  const Matrix::Packed& w;
  int64_t first_panel;

  int64_t row_grain() const { return w.quantised() ? w.group : 1; }
  static int64_t column_grain() { return kPanel; }
  void pack(int64_t column, int64_t width, int64_t k, int64_t depth, float* out) const {
    for (int64_t c = 0; c < width; c += kPanel, out += depth * kPanel) {
      kernels().expand(w, first_panel + (column + c) / kPanel, k, k + depth, out);
    }
  }
};

// W: the packed panels hold its columns side by side, sixteen rows at a time.
struct BackwardWeights {
  const Matrix::Packed& w;
  int64_t first_panel;

  static int64_t row_grain() { return kPanel; }
  int64_t column_grain() const { return w.quantised() ? std::max(w.group, kPanel) : kPanel; }
  void pack(int64_t column, int64_t width, int64_t k, int64_t depth, float* out) const {
    thread_local Scratch scratch;
    const int64_t panels = panels_of(width);
    float* const tile = scratch.floats(panels * kPanel * kPanel);
    std::fill(tile + width * kPanel, tile + panels * kPanel * kPanel, 0.0F);
    for (int64_t i = 0; i < depth; i += kPanel) {
      kernels().expand(w, first_panel + (k + i) / kPanel, column, column + width, tile);
      const int64_t rows = std::min(kPanel, depth - i);
      for (int64_t p = 0; p < panels; ++p) {
        transpose(tile + p * kPanel * kPanel, kPanel, kPanel, rows, out + (p * depth + i) * kPanel,
                  kPanel);
      }
    }
  }
};

}  // namespace fastvlm
