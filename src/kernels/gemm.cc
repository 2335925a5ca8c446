// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include <algorithm>
#include <vector>

#include "kernels/dot_kernels.h"
#include "kernels/gemm_factors.h"

namespace fastvlm {
namespace {

// The blocks, argued from a second-level cache of 512 KB to 1 MB: the right factor's block
// (depth x kPanels x 16: 400 to 500 KB) is packed once and stays there while blocks of the left
// factor (kRows x depth) go by. Sums that are not finished wait in y.
constexpr int64_t kRows = 96;
constexpr int64_t kPanels = 16;
constexpr int64_t kMostRows = 768;  // of a piece of work
constexpr int64_t kPieces = 8;      // of a product at least, where it is large enough

// The left factor at bf16, rounded once for all pieces: rows of numbers, `stride` bytes apart.
struct RoundedRows {
  const std::byte* data = nullptr;
  int64_t stride = 0;
};

// A block of the right factor, which meets columns [k, k + depth) of the left one.
struct Block {
  const Factor& a;
  const RoundedRows& rounded;
  int64_t k;
  int64_t depth;
  int64_t width;
  bool add;  // to what is in y
};

// Products at f32, with panels [depth, 16] as they are packed.
class FloatBlock {
 public:
  static constexpr int64_t kDepth = 384;

  void set(const Block& block, const float* panels) {
    panels_ = panels;
    left_ = scratch_.floats(kRows * block.depth);
  }

  void multiply(const Block& block, int64_t row, int64_t rows, float* y, int64_t y_stride) {
    const int64_t depth = block.depth;
    const int64_t most_panels = kernels().most_panels;
    pack_left(block.a, row, rows, block.k, depth, left_);
    for (int64_t panel = 0; panel * kPanel < block.width; panel += most_panels) {
      PanelProduct product;
      product.a = left_;
      product.a_stride = depth;
      product.rows = rows;
      product.b = panels_ + panel * depth * kPanel;
      product.b_panel = depth * kPanel;
      product.depth = depth;
      product.panels = std::min(most_panels, panels_of(block.width) - panel);
      product.columns = std::min(product.panels * kPanel, block.width - panel * kPanel);
      product.y = y + panel * kPanel;
      product.y_stride = y_stride;
      if (block.add) {
        product.epilogue.residual = product.y;
        product.epilogue.residual_stride = y_stride;
      }
      kernels().panel_product(product);
    }
  }

 private:
  const float* panels_ = nullptr;
  float* left_ = nullptr;
  Scratch scratch_;
};

// The same at bf16: words of two rows' numbers, 32 columns a panel.
class RoundedBlock {
 public:
  static constexpr int64_t kDepth = 1024;

  void set(const Block& block, const float* panels) {
    right_.arithmetic = Arithmetic::kBf16;
    right_.rows = block.width;
    right_.cols = block.depth;
    right_.words = (block.depth + 1) / 2;
    const int64_t bytes = right_.panels() * right_.words * kDotPanel * 4;
    if (bytes > capacity_) right_.data = aligned_bytes(capacity_ = bytes);
    auto* const words = reinterpret_cast<uint32_t*>(right_.data.get());
    for (int64_t panel = 0; panel < 2 * right_.panels(); ++panel) {
      const bool there = panel * kPanel < block.width;
      round_panel(there ? panels + panel * block.depth * kPanel : nullptr,
                  words + panel / 2 * right_.words * kDotPanel + panel % 2 * kPanel);
    }
  }

  void multiply(const Block& block, int64_t row, int64_t rows, float* y, int64_t y_stride) const {
    const DotTable& table = dot_kernels();
    DotProduct product;
    product.x = block.rounded.data + row * block.rounded.stride + block.k * 2;
    product.x_stride = block.rounded.stride;
    product.rows = rows;
    product.w = &right_;
    product.y_stride = y_stride;
    for (product.panel = 0; product.panel < right_.panels(); ++product.panel) {
      product.y = y + product.panel * kDotPanel;
      if (block.add) {
        product.epilogue.residual = product.y;
        product.epilogue.residual_stride = y_stride;
      }
      table.product(product);
    }
  }

 private:
  // A panel [depth, 16] as words, 32 apart; null: of zeros.
  void round_panel(const float* panel, uint32_t* out) {
    const int64_t count = panel == nullptr ? 0 : right_.cols * kPanel;
    rounded_.resize(static_cast<size_t>(2 * right_.words * kPanel));
    if (count > 0) dot_kernels().round(panel, count, rounded_.data());
    std::fill(rounded_.begin() + count, rounded_.end(), uint16_t{0});
    for (int64_t i = 0; i < right_.words; ++i, out += kDotPanel) {
      const uint16_t* const pair = rounded_.data() + 2 * i * kPanel;
      for (int64_t j = 0; j < kPanel; ++j) {
        out[j] = uint32_t{pair[j]} | uint32_t{pair[kPanel + j]} << 16;
      }
    }
  }

  DotMatrix::Packed right_;
  int64_t capacity_ = 0;
  std::vector<uint16_t> rounded_;
};

// Rows [row, row + rows) and columns [column, column + width) of y.
struct Piece {
  int64_t row, rows, column, width;
};

// The depth of a product in equal blocks of about `most`, in whole grains and even.
int64_t depth_of_blocks(int64_t depth, int64_t most, int64_t grain) {
  const int64_t unit = std::max(grain, int64_t{2});
  const int64_t blocks = (depth + most - 1) / most;
  return ((depth + blocks - 1) / blocks + unit - 1) / unit * unit;
}

template <typename Product, typename Right>
void multiply_piece(const GemmShape& shape, const Factor& a, const RoundedRows& rounded,
                    const Right& right, const Sum& sum, const Piece& piece) {
  thread_local Scratch panels;
  thread_local Product product;
  const int64_t step = depth_of_blocks(shape.depth, Product::kDepth, right.row_grain());
  const int64_t panel_count = panels_of(piece.width);
  float* const b = panels.floats(panel_count * kPanel * std::min(step, shape.depth));
  for (int64_t k = 0; k < shape.depth; k += step) {
    const Block block{a,           rounded,         k, std::min(step, shape.depth - k),
                      piece.width, k > 0 || sum.add};
    right.pack(piece.column, piece.width, k, block.depth, b);
    if (sum.scale != 1.0F) {
      for (int64_t i = 0; i < panel_count * kPanel * block.depth; ++i) b[i] *= sum.scale;
    }
    product.set(block, b);
    for (int64_t r = 0; r < piece.rows; r += kRows) {
      product.multiply(block, piece.row + r, std::min(kRows, piece.rows - r),
                       sum.y + (piece.row + r) * sum.stride + piece.column, sum.stride);
    }
  }
}

// y in pieces of rows and of columns; which they are depends on the shape alone.
class Pieces {
 public:
  Pieces(const GemmShape& shape, int64_t grain) : shape_(shape) {
    columns_ = std::max(kPanels * kPanel / grain, int64_t{1}) * grain;
    column_count_ = (shape.n + columns_ - 1) / columns_;
    const int64_t wanted = std::max((shape.m + kMostRows - 1) / kMostRows,
                                    (kPieces + column_count_ - 1) / column_count_);
    const int64_t most = (shape.m + kRows / 4 - 1) / (kRows / 4);
    const int64_t row_count = std::clamp(wanted, int64_t{1}, most);
    rows_ = (shape.m + row_count - 1) / row_count;
    count_ = (shape.m + rows_ - 1) / rows_ * column_count_;
  }

  int64_t count() const { return count_; }
  Piece at(int64_t index) const {
    const int64_t row = index / column_count_ * rows_;
    const int64_t column = index % column_count_ * columns_;
    return {row, std::min(rows_, shape_.m - row), column, std::min(columns_, shape_.n - column)};
  }

 private:
  GemmShape shape_;
  int64_t rows_, columns_, column_count_, count_;
};

// Rounds the left factor, a few rows at a time; an odd row ends with a zero.
template <typename Each>
RoundedRows round_left(const Each& each, const GemmShape& shape, const Factor& a, Scratch& memory) {
  constexpr int64_t kTogether = 16;
  // A line more than needed: rows a power of two apart would compete for the same cache sets.
  const int64_t stride = (shape.depth * 2 + 63) / 64 * 64 + 64;
  std::byte* const data = memory.bytes(shape.m * stride);
  each((shape.m + kTogether - 1) / kTogether, [&](int64_t index) {
    thread_local Scratch turned;
    const int64_t first = index * kTogether;
    const int64_t rows = std::min(kTogether, shape.m - first);
    const float* from = a.data + first * a.stride;
    int64_t from_stride = a.stride;
    if (a.transposed) {
      float* const out = turned.floats(rows * shape.depth);
      pack_left(a, first, rows, 0, shape.depth, out);
      from = out;
      from_stride = shape.depth;
    }
    for (int64_t r = 0; r < rows; ++r) {
      auto* const out = reinterpret_cast<uint16_t*>(data + (first + r) * stride);
      dot_kernels().round(from + r * from_stride, shape.depth, out);
      out[shape.depth] = 0;
    }
  });
  return {data, stride};
}

// `each` calls its argument with every index below a count, on one thread or several.
template <typename Each, typename Right>
void multiply(const Each& each, const GemmShape& shape, const Factor& a, const Right& right,
              const Sum& sum, Arithmetic arithmetic) {
  thread_local Scratch memory;
  const bool rounds = arithmetic == Arithmetic::kBf16;
  const RoundedRows rounded = rounds ? round_left(each, shape, a, memory) : RoundedRows{};
  const Pieces pieces(shape, right.column_grain());
  each(pieces.count(), [&](int64_t index) {
    if (rounds) {
      multiply_piece<RoundedBlock>(shape, a, rounded, right, sum, pieces.at(index));
    } else {
      multiply_piece<FloatBlock>(shape, a, rounded, right, sum, pieces.at(index));
    }
  });
}

struct Shared {
  ThreadPool& pool;

  template <typename Function>
  void operator()(int64_t count, const Function& fn) const {
    pool.for_each(count, fn);
  }
};

struct Alone {
  template <typename Function>
  void operator()(int64_t count, const Function& fn) const {
    for (int64_t i = 0; i < count; ++i) fn(i);
  }
};

}  // namespace

void gemm(ThreadPool& pool, const GemmShape& shape, const Factor& a, const Factor& b,
          const Sum& sum, Arithmetic arithmetic) {
  multiply(Shared{pool}, shape, a, PlainRight{b}, sum, arithmetic);
}

void gemm_alone(const GemmShape& shape, const Factor& a, const Factor& b, const Sum& sum,
                Arithmetic arithmetic) {
  multiply(Alone{}, shape, a, PlainRight{b}, sum, arithmetic);
}

void gemm(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const MatrixRows& w,
          Way way, const Sum& sum, Arithmetic arithmetic) {
  const Matrix::Packed& packed = w.w.packed();
  const int64_t rows = w.end - w.begin;
  const int64_t panel = w.begin / kPanel;
  const Factor a{x, x_stride};
  if (way == Way::kForward) {
    const GemmShape shape{m, rows, packed.cols};
    return multiply(Shared{pool}, shape, a, ForwardWeights{packed, panel}, sum, arithmetic);
  }
  const GemmShape shape{m, packed.cols, rows};
  multiply(Shared{pool}, shape, a, BackwardWeights{packed, panel}, sum, arithmetic);
}

}  // namespace fastvlm
