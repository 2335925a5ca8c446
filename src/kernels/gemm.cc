// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// The blocks, argued from a second-level cache of 512 KB to 1 MB: the right factor's block
// (kDepth x kPanels x 16: 384 KB) is packed once and stays there while blocks of the left factor
// (kRows x kDepth: 144 KB) go by. Sums that are not finished wait in y.
constexpr int64_t kDepth = 384;
constexpr int64_t kRows = 96;
constexpr int64_t kPanels = 16;
constexpr int64_t kMostRows = 768;  // of a piece of work
constexpr int64_t kPieces = 8;      // of a product at least, where it is large enough

struct Workspace {
  Scratch left, right, tile;
};

Workspace& workspace() {
  thread_local Workspace space;
  return space;
}

// Rows [0, rows) x columns [0, cols) of a stored matrix, transposed: out [cols, out_stride].
void transpose(const float* data, int64_t stride, int64_t rows, int64_t cols, float* out,
               int64_t out_stride) {
  constexpr int64_t kTile = 16;  // a cache line of either side
  for (int64_t c = 0; c < cols; c += kTile) {
    const int64_t last = std::min(c + kTile, cols);
    for (int64_t r = 0; r < rows; r += kTile) {
      const int64_t end = std::min(r + kTile, rows);
      for (int64_t i = c; i < last; ++i) {
        for (int64_t j = r; j < end; ++j) out[i * out_stride + j] = data[j * stride + i];
      }
    }
  }
}

// Rows [row, row + rows) and columns [k, k + depth) of a left factor: [rows, depth].
void pack_left(const Factor& a, int64_t row, int64_t rows, int64_t k, int64_t depth, float* out) {
  if (a.transposed) {
    return transpose(a.data + k * a.stride + row, a.stride, depth, rows, out, depth);
  }
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(out + r * depth, a.data + (row + r) * a.stride + k,
                static_cast<size_t>(depth) * sizeof(float));
  }
}

// The right factors: pack() makes panels [depth, 16] of rows [k, k + depth) and columns
// [column, column + width); columns past the end are zero.
struct PlainRight {
  const Factor& b;
  float scale;

  void pack(int64_t column, int64_t width, int64_t k, int64_t depth, float* out) const {
    for (int64_t c = 0; c < width; c += kPanel, out += depth * kPanel) {
      const int64_t count = std::min(kPanel, width - c);
      if (count < kPanel) std::fill(out, out + depth * kPanel, 0.0F);
      if (b.transposed) {
        transpose(b.data + (column + c) * b.stride + k, b.stride, count, depth, out, kPanel);
      } else {
        for (int64_t i = 0; i < depth; ++i) {
          std::copy_n(b.data + (k + i) * b.stride + column + c, count, out + i * kPanel);
        }
      }
      if (scale != 1.0F) {
        for (int64_t i = 0; i < depth * kPanel; ++i) out[i] *= scale;
      }
    }
  }
};

struct WeightsRight {
  const Matrix::Packed& w;
  float scale;

  // `k` is a multiple of 16 and `column` one of the group.
  void pack(int64_t column, int64_t width, int64_t k, int64_t depth, float* out) const {
    const int64_t panels = panels_of(width);
    float* const tile = workspace().tile.floats(panels * kPanel * kPanel);
    std::fill(tile + width * kPanel, tile + panels * kPanel * kPanel, 0.0F);
    for (int64_t i = 0; i < depth; i += kPanel) {
      kernels().expand(w, (k + i) / kPanel, column, column + width, tile);
      if (scale != 1.0F) {
        for (int64_t j = 0; j < width * kPanel; ++j) tile[j] *= scale;
      }
      for (int64_t p = 0; p < panels; ++p) {
        transpose(tile + p * kPanel * kPanel, kPanel, kPanel, std::min(kPanel, depth - i),
                  out + (p * depth + i) * kPanel, kPanel);
      }
    }
  }
};

// Rows [row, row + rows) and columns [column, column + width) of y.
template <typename Right>
void multiply_piece(const GemmShape& shape, const Factor& a, const Right& right, const Sum& sum,
                    int64_t row, int64_t rows, int64_t column, int64_t width) {
  const int64_t panels = panels_of(width);
  const int64_t most_panels = kernels().most_panels;
  float* const b = workspace().right.floats(panels * kPanel * std::min(kDepth, shape.depth));
  float* const left = workspace().left.floats(kRows * kDepth);
  for (int64_t k = 0; k < shape.depth; k += kDepth) {
    const int64_t depth = std::min(kDepth, shape.depth - k);
    right.pack(column, width, k, depth, b);
    for (int64_t r = 0; r < rows; r += kRows) {
      const int64_t count = std::min(kRows, rows - r);
      pack_left(a, row + r, count, k, depth, left);
      for (int64_t panel = 0; panel < panels; panel += most_panels) {
        PanelProduct product;
        product.a = left;
        product.a_stride = depth;
        product.rows = count;
        product.b = b + panel * depth * kPanel;
        product.b_panel = depth * kPanel;
        product.depth = depth;
        product.panels = std::min(most_panels, panels - panel);
        product.columns = std::min(product.panels * kPanel, width - panel * kPanel);
        product.y = sum.y + (row + r) * sum.stride + column + panel * kPanel;
        product.y_stride = sum.stride;
        if (k > 0 || sum.add) {
          product.epilogue.residual = product.y;
          product.epilogue.residual_stride = sum.stride;
        }
        kernels().panel_product(product);
      }
    }
  }
}

// y in pieces of rows and of columns; which they are depends on the shape alone.
struct Pieces {
  int64_t rows, columns, row_count, column_count;

  Pieces(const GemmShape& shape, int64_t grain) {
    columns = std::max(kPanels * kPanel / grain, int64_t{1}) * grain;
    column_count = (shape.n + columns - 1) / columns;
    const int64_t wanted = std::max((shape.m + kMostRows - 1) / kMostRows,
                                    (kPieces + column_count - 1) / column_count);
    row_count = std::clamp(wanted, int64_t{1}, (shape.m + kRows / 4 - 1) / (kRows / 4));
    rows = (shape.m + row_count - 1) / row_count;
  }

  int64_t count() const { return row_count * column_count; }
  template <typename Right>
  void multiply(const GemmShape& shape, const Factor& a, const Right& right, const Sum& sum,
                int64_t index) const {
    const int64_t row = index / column_count * rows;
    const int64_t column = index % column_count * columns;
    if (row >= shape.m) return;
    multiply_piece(shape, a, right, sum, row, std::min(rows, shape.m - row), column,
                   std::min(columns, shape.n - column));
  }
};

template <typename Right>
void multiply(ThreadPool& pool, const GemmShape& shape, const Factor& a, const Right& right,
              const Sum& sum, int64_t grain) {
  const Pieces pieces(shape, grain);
  std::atomic<int64_t> next{0};
  pool.run([&](int) {
    for (int64_t i = next++; i < pieces.count(); i = next++) {
      pieces.multiply(shape, a, right, sum, i);
    }
  });
}

}  // namespace

void gemm(ThreadPool& pool, const GemmShape& shape, const Factor& a, const Factor& b,
          const Sum& sum) {
  multiply(pool, shape, a, PlainRight{b, sum.scale}, sum, kPanel);
}

void gemm_alone(const GemmShape& shape, const Factor& a, const Factor& b, const Sum& sum) {
  const Pieces pieces(shape, kPanel);
  for (int64_t i = 0; i < pieces.count(); ++i) {
    pieces.multiply(shape, a, PlainRight{b, sum.scale}, sum, i);
  }
}

void matmul_transposed(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride,
                       const Matrix& w, const Sum& sum) {
  const Matrix::Packed& packed = w.packed();
  const GemmShape shape{m, packed.cols, packed.rows};
  const int64_t grain = packed.quantised() ? packed.group : kPanel;
  multiply(pool, shape, {x, x_stride}, WeightsRight{packed, sum.scale}, sum, grain);
}

}  // namespace fastvlm
