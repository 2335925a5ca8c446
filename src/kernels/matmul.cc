// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/elementwise.h"
#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// The blocks, argued from a first-level cache of 32 KB and a second level of 512 KB: a block of a
// panel (16 x kDepth f32: 24 KB) stays in the first while the rows of x go by; a block of x
// (kRows x kDepth: 180 KB) and its sums (kRows x kPanels x 16: 120 KB) stay in the second.
constexpr int64_t kDepth = 384;
constexpr int64_t kRows = 120;
constexpr int64_t kPanels = 16;

struct Product {
  const float* x;
  int64_t m;
  int64_t x_stride;
  const Matrix::Packed& w;
  float* y;
  int64_t y_stride;
  const Epilogue& epilogue;
};

// Working space of one thread: about 340 KB.
struct Workspace {
  Scratch x, panel, sums;
};

Workspace& workspace() {
  thread_local Workspace space;
  return space;
}

// Columns of W a block: whole groups.
int64_t depth_of(const Matrix::Packed& w) {
  return w.quantised() ? std::max(kDepth / w.group, int64_t{1}) * w.group : kDepth;
}

// Bytes of a panel's first columns: whole groups.
int64_t bytes_of(const Matrix::Packed& w, int64_t columns) {
  return w.quantised() ? columns / w.group * w.group_bytes
                       : columns * kPanel * element_bytes(w.type);
}

// Rows [row, row + rows) of y in the columns of panels [first_panel, last_panel).
void multiply_block(const Product& p, int64_t row, int64_t rows, int64_t first_panel,
                    int64_t last_panel) {
  const KernelTable& table = kernels();
  const Matrix::Packed& w = p.w;
  const int64_t step = depth_of(w);
  const bool split = w.cols > step;
  float* const sums = split ? workspace().sums.floats(rows * kPanels * kPanel) : nullptr;
  float* const copy = split ? workspace().x.floats(rows * step) : nullptr;
  float* const expanded = workspace().panel.floats(table.most_panels * step * kPanel);
  for (int64_t k = 0; k < w.cols; k += step) {
    const int64_t depth = std::min(step, w.cols - k);
    const float* x = p.x + row * p.x_stride + k;
    if (split) {  // rows far apart would compete for the same few cache sets
      for (int64_t r = 0; r < rows; ++r) {
        std::memcpy(copy + r * depth, x + r * p.x_stride,
                    static_cast<size_t>(depth) * sizeof(float));
      }
    }
    for (int64_t panel = first_panel; panel < last_panel; panel += table.most_panels) {
      PanelProduct block;
      block.panels = std::min(table.most_panels, last_panel - panel);
      block.a = split ? copy : x;
      block.a_stride = split ? depth : p.x_stride;
      block.rows = rows;
      block.next_bytes = bytes_of(w, depth);
      block.next = w.panel(std::min(panel + block.panels, last_panel - 1)) + bytes_of(w, k);
      if (w.type == WeightType::kF32) {
        block.b = reinterpret_cast<const float*>(w.panel(panel) + bytes_of(w, k));
        block.b_panel = w.cols * kPanel;
      } else {
        block.b = expanded;
        block.b_panel = depth * kPanel;
        for (int64_t i = 0; i < block.panels; ++i) {
          table.expand(w, panel + i, k, k + depth, expanded + i * block.b_panel);
        }
      }
      block.depth = depth;
      block.first = k == 0;
      block.last = k + depth == w.cols;
      block.sums = sums == nullptr ? nullptr : sums + (panel - first_panel) * rows * kPanel;
      block.sums_panel = rows * kPanel;
      block.y = p.y + row * p.y_stride + panel * kPanel;
      block.y_stride = p.y_stride;
      block.columns = std::min(block.panels * kPanel, w.rows - panel * kPanel);
      block.epilogue = moved(p.epilogue, row, panel * kPanel);
      table.panel_product(block);
    }
  }
}

// The rows of y in equal blocks of at most kRows, the panels in blocks of kPanels.
struct Blocks {
  int64_t row_blocks, panel_blocks, rows, panels;

  explicit Blocks(const Product& p)
      : row_blocks((p.m + kRows - 1) / kRows),
        panel_blocks((panels_of(p.w.rows) + kPanels - 1) / kPanels),
        rows((p.m + row_blocks - 1) / row_blocks),
        panels(panels_of(p.w.rows)) {}

  int64_t count() const { return row_blocks * panel_blocks; }
  void multiply(const Product& p, int64_t index) const {
    const int64_t row = index / panel_blocks * rows;
    const int64_t panel = index % panel_blocks * kPanels;
    if (row < p.m) {
      multiply_block(p, row, std::min(rows, p.m - row), panel, std::min(panel + kPanels, panels));
    }
  }
};

void multiply_vector(ThreadPool& pool, const Product& p) {
  thread_local Scratch scratch;
  float* const prepared = scratch.floats(prepared_floats(p.w));
  const KernelTable& table = kernels();
  table.prepare_vector(p.w, p.x, prepared);
  pool.parallel_for(panels_of(p.w.rows), 1, [&](int64_t begin, int64_t end) {
    table.vector_product(p.w, prepared, begin, end, p.y, p.epilogue);
  });
}

bool one_kind(const Matrix& a, const Matrix& b) {
  return a.packed().arithmetic == b.packed().arithmetic && a.type() == b.type() &&
         a.packed().group == b.packed().group;
}

}  // namespace

void matmul(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix& w,
            float* y, int64_t y_stride, const Epilogue& epilogue) {
  if (w.arithmetic() == Arithmetic::kInt8) {
    const Output output{w, y, y_stride, epilogue};
    return matmul_int8(pool, x, m, x_stride, {&output, 1});
  }
  const Product product{x, m, x_stride, w.packed(), y, y_stride, epilogue};
  if (m == 1) return multiply_vector(pool, product);
  const Blocks blocks(product);
  pool.for_each(blocks.count(), [&](int64_t i) { blocks.multiply(product, i); });
}

void matmul(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride,
            std::span<const Output> outputs) {
  const Matrix& first = outputs.front().w;
  const bool together = first.arithmetic() == Arithmetic::kInt8 &&
                        std::all_of(outputs.begin(), outputs.end(), [&](const Output& output) {
                          return one_kind(output.w, first);
                        });
  if (together) return matmul_int8(pool, x, m, x_stride, outputs);
  for (const Output& output : outputs) {
    matmul(pool, x, m, x_stride, output.w, output.y, output.y_stride, output.epilogue);
  }
}

void gated_matmul(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix& gate,
                  const Matrix& up, float* y) {
  if (gate.arithmetic() == Arithmetic::kInt8 && one_kind(gate, up)) {
    return gated_matmul_int8(pool, x, m, x_stride, gate, up, y);
  }
  thread_local Scratch scratch;
  const int64_t width = gate.rows();
  float* const ups = scratch.floats(m * width);
  matmul(pool, x, m, x_stride, gate, y, width);
  matmul(pool, x, m, x_stride, up, ups, width);
  silu_multiply(pool, y, ups, m * width);
}

void matmul_alone(const float* x, int64_t m, int64_t x_stride, const Matrix& w, float* y,
                  int64_t y_stride, const Epilogue& epilogue) {
  const Product product{x, m, x_stride, w.packed(), y, y_stride, epilogue};
  const Blocks blocks(product);
  for (int64_t i = 0; i < blocks.count(); ++i) blocks.multiply(product, i);
}

void mlp_alone(const float* x, int64_t m, int64_t x_stride, const Matrix& fc1,
               const float* fc1_bias, const Matrix& fc2, float* y, int64_t y_stride,
               const Epilogue& epilogue) {
  Epilogue gelu;
  gelu.bias = fc1_bias;
  gelu.activation = Activation::kGelu;
  thread_local Scratch scratch;  // kRows x fc1.rows() floats at most
  for (int64_t row = 0; row < m; row += kRows) {
    const int64_t count = std::min(kRows, m - row);
    float* const expanded = scratch.floats(count * fc1.rows());
    matmul_alone(x + row * x_stride, count, x_stride, fc1, expanded, fc1.rows(), gelu);
    matmul_alone(expanded, count, fc1.rows(), fc2, y + row * y_stride, y_stride,
                 moved(epilogue, row, 0));
  }
}

void mlp(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix& fc1,
         const float* fc1_bias, const Matrix& fc2, float* y, int64_t y_stride,
         const Epilogue& epilogue) {
  const int64_t tiles = (m + kRows - 1) / kRows;
  const int64_t rows = (m + tiles - 1) / std::max<int64_t>(tiles, 1);
  pool.for_each(tiles, [&](int64_t tile) {
    const int64_t row = tile * rows;
    if (row >= m) return;
    mlp_alone(x + row * x_stride, std::min(rows, m - row), x_stride, fc1, fc1_bias, fc2,
              y + row * y_stride, y_stride, moved(epilogue, row, 0));
  });
}

}  // namespace fastvlm
