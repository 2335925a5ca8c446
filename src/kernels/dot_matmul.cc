// SPDX-License-Identifier: Apache-2.0
#include "kernels/dot_matmul.h"

#include <algorithm>
#include <cstring>

#include "kernels/dot_kernels.h"
#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// Rows a tile: the weights are read once for each tile, and a group of its expanded activations in
// f32 takes 66 KB of the second-level cache.
constexpr int64_t kRows = 132;

// Rows of activations as products want them: words, and at int8 the scales of their groups.
class PreparedRows {
 public:
  void resize(Arithmetic arithmetic, int64_t rows, int64_t cols) {
    arithmetic_ = arithmetic;
    rows_ = rows;
    cols_ = cols;
    // One more line than needed: rows a power of two apart compete for the same cache sets.
    stride_ = (cols * width() + 63) / 64 * 64 + 64;
    words_.floats(rows * stride_ / int64_t{sizeof(float)});
    scales_.resize(static_cast<size_t>(dot_groups(cols) * rows));
  }

  // Columns [begin, begin + count) of row `row`; begin is a multiple of kDotGroup.
  void put(int64_t row, int64_t begin, int64_t count, const float* x) {
    const DotTable& table = dot_kernels();
    std::byte* const out = data() + row * stride_;
    if (begin + count == cols_) std::memset(out + cols_ * width(), 0, 4);  // the last word's rest
    if (arithmetic_ == Arithmetic::kBf16) {
      return table.round(x, count, reinterpret_cast<uint16_t*>(out) + begin);
    }
    for (int64_t c = 0; c < count; c += kDotGroup) {
      scales_[static_cast<size_t>((begin + c) / kDotGroup * rows_ + row)] = table.quantise(
          x + c, std::min(kDotGroup, count - c), reinterpret_cast<uint8_t*>(out) + begin + c);
    }
  }

  std::byte* data() { return reinterpret_cast<std::byte*>(words_.floats(0)); }
  int64_t stride() const { return stride_; }
  const GroupScale* scales() const { return scales_.data(); }

 private:
  int64_t width() const { return arithmetic_ == Arithmetic::kInt8 ? 1 : 2; }  // of a number

  Arithmetic arithmetic_ = Arithmetic::kInt8;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  int64_t stride_ = 0;
  Scratch words_;
  std::vector<GroupScale> scales_;
};

// y = epilogue(x W^T) for the outputs of panels [begin, end); y is that of the first of them.
void multiply(PreparedRows& x, int64_t rows, const DotMatrix& w, int64_t begin, int64_t end,
              float* y, int64_t y_stride, const Epilogue& epilogue) {
  DotProduct block;
  block.x = x.data();
  block.x_stride = x.stride();
  block.x_scales = x.scales();
  block.rows = rows;
  block.w = &w.packed();
  block.y_stride = y_stride;
  for (block.panel = begin; block.panel < end; ++block.panel) {
    block.y = y + (block.panel - begin) * kDotPanel;
    block.epilogue = moved(epilogue, 0, block.panel * kDotPanel);
    dot_kernels().product(block);
  }
}

// Calls tile(first, count) on tiles of the rows [0, m), shared out among the team.
template <typename Tile>
void for_each_tile(ThreadPool& pool, int64_t m, const Tile& tile) {
  if (m == 0) return;
  const int64_t team = pool.size();
  const int64_t tiles = ((m + kRows - 1) / kRows + team - 1) / team * team;
  const int64_t rows = (m + tiles - 1) / tiles;
  pool.for_each((m + rows - 1) / rows,
                [&](int64_t i) { tile(i * rows, std::min(rows, m - i * rows)); });
}

// One tile of an mlp.
void multiply_mlp(const float* x, int64_t rows, int64_t x_stride, const DotMatrix& fc1,
                  const float* fc1_bias, const DotMatrix& fc2, float* y, int64_t y_stride,
                  const Epilogue& epilogue) {
  thread_local PreparedRows inputs, expanded;
  thread_local Scratch scratch;
  const Epilogue gelu{.bias = fc1_bias, .activation = Activation::kGelu};
  inputs.resize(fc1.arithmetic(), rows, fc1.cols());
  expanded.resize(fc2.arithmetic(), rows, fc2.cols());
  float* const group = scratch.floats(rows * kDotGroup);
  for (int64_t r = 0; r < rows; ++r) inputs.put(r, 0, fc1.cols(), x + r * x_stride);
  for (int64_t begin = 0; begin < fc1.rows(); begin += kDotGroup) {
    const int64_t width = std::min(kDotGroup, fc1.rows() - begin);
    const int64_t panel = begin / kDotPanel;
    multiply(inputs, rows, fc1, panel, panel + (width + kDotPanel - 1) / kDotPanel, group,
             kDotGroup, gelu);
    for (int64_t r = 0; r < rows; ++r) expanded.put(r, begin, width, group + r * kDotGroup);
  }
  multiply(expanded, rows, fc2, 0, fc2.packed().panels(), y, y_stride, epilogue);
}

}  // namespace

void matmul(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const DotMatrix& w,
            float* y, int64_t y_stride, const Epilogue& epilogue) {
  for_each_tile(pool, m, [&](int64_t first, int64_t count) {
    thread_local PreparedRows prepared;
    prepared.resize(w.arithmetic(), count, w.cols());
    for (int64_t r = 0; r < count; ++r) {
      prepared.put(r, 0, w.cols(), x + (first + r) * x_stride);
    }
    multiply(prepared, count, w, 0, w.packed().panels(), y + first * y_stride, y_stride,
             moved(epilogue, first, 0));
  });
}

void mlp_alone(const float* x, int64_t m, int64_t x_stride, const DotMatrix& fc1,
               const float* fc1_bias, const DotMatrix& fc2, float* y, int64_t y_stride,
               const Epilogue& epilogue) {
  for (int64_t row = 0; row < m; row += kRows) {
    multiply_mlp(x + row * x_stride, std::min(kRows, m - row), x_stride, fc1, fc1_bias, fc2,
                 y + row * y_stride, y_stride, moved(epilogue, row, 0));
  }
}

void mlp(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const DotMatrix& fc1,
         const float* fc1_bias, const DotMatrix& fc2, float* y, int64_t y_stride,
         const Epilogue& epilogue) {
  for_each_tile(pool, m, [&](int64_t first, int64_t count) {
    multiply_mlp(x + first * x_stride, count, x_stride, fc1, fc1_bias, fc2, y + first * y_stride,
                 y_stride, moved(epilogue, first, 0));
  });
}

}  // namespace fastvlm
