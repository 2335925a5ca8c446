// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include <algorithm>
#include <atomic>

#include "kernels/dot_kernels.h"
#include "kernels/gemm_factors.h"

namespace fastvlm {
namespace {

// The blocks, argued from a second-level cache of 512 KB to 1 MB: the right factor's block
// (depth x kPanels x 16: 384 KB) is packed once and stays there while blocks of the left factor
// (kRows x depth: 144 KB) go by. Sums that are not finished wait in y.
constexpr int64_t kRows = 96;
constexpr int64_t kPanels = 16;
constexpr int64_t kMostRows = 768;  // of a piece of work
constexpr int64_t kPieces = 8;      // of a product at least, where it is large enough

// A block of the right factor times rows of the left one, added to y.
struct Block {
  const Factor& a;
  int64_t k;  // its first row
  int64_t depth;
  int64_t width;
  bool add;
};

// y += at f32: panels [depth, 16] as they are packed.
class FloatBlock {
 public:
  static constexpr int64_t kDepth = 384;

  void set(const Block& block, float* panels) {
    block_ = &block;
    panels_ = panels;
    left_ = scratch_.floats(kRows * block.depth);
  }

  void multiply(int64_t row, int64_t rows, float* y, int64_t y_stride) {
    const int64_t depth = block_->depth;
    const int64_t most_panels = kernels().most_panels;
    pack_left(block_->a, row, rows, block_->k, depth, left_);
    for (int64_t panel = 0; panel * kPanel < block_->width; panel += most_panels) {
      PanelProduct product;
      product.a = left_;
      product.a_stride = depth;
      product.rows = rows;
      product.b = panels_ + panel * depth * kPanel;
      product.b_panel = depth * kPanel;
      product.depth = depth;
      product.panels = std::min(most_panels, panels_of(block_->width) - panel);
      product.columns = std::min(product.panels * kPanel, block_->width - panel * kPanel);
      product.y = y + panel * kPanel;
      product.y_stride = y_stride;
      if (block_->add) {
        product.epilogue.residual = product.y;
        product.epilogue.residual_stride = y_stride;
      }
      kernels().panel_product(product);
    }
  }

 private:
  const Block* block_ = nullptr;
  float* panels_ = nullptr;
  float* left_ = nullptr;
  Scratch scratch_;
};

// The same at bf16: words of two rows' numbers, 32 columns a panel.
class RoundedBlock {
 public:
  static constexpr int64_t kDepth = 768;

  void set(const Block& block, const float* panels) {
    block_ = &block;
    right_.arithmetic = Arithmetic::kBf16;
    right_.rows = block.width;
    right_.cols = block.depth;
    right_.words = (block.depth + 1) / 2;
    const int64_t bytes = right_.panels() * right_.words * kDotPanel * 4;
    if (bytes > capacity_) right_.data = aligned_bytes(capacity_ = bytes);
    left_ = scratch_.floats(kRows * block.depth);
    table_ = &dot_kernels();
    words_ = reinterpret_cast<uint16_t*>(rounded_.bytes(kRows * stride()));
    auto* const words = reinterpret_cast<uint32_t*>(right_.data.get());
    for (int64_t panel = 0; panel < 2 * right_.panels(); ++panel) {
      uint32_t* const out = words + panel / 2 * right_.words * kDotPanel + panel % 2 * kPanel;
      const bool there = panel * kPanel < block.width;
      round_panel(there ? panels + panel * block.depth * kPanel : nullptr, out);
    }
  }

  void multiply(int64_t row, int64_t rows, float* y, int64_t y_stride) {
    const int64_t depth = block_->depth;
    const Factor& a = block_->a;
    if (a.transposed) pack_left(a, row, rows, block_->k, depth, left_);
    for (int64_t r = 0; r < rows; ++r) {
      uint16_t* const out = words_ + r * stride() / 2;
      table_->round(a.transposed ? left_ + r * depth : a.data + (row + r) * a.stride + block_->k,
                    depth, out);
      if (depth % 2 != 0) out[depth] = 0;
    }
    DotProduct product;
    product.x = reinterpret_cast<const std::byte*>(words_);
    product.x_stride = stride();
    product.rows = rows;
    product.w = &right_;
    product.y_stride = y_stride;
    for (product.panel = 0; product.panel < right_.panels(); ++product.panel) {
      product.y = y + product.panel * kDotPanel;
      if (block_->add) {
        product.epilogue.residual = product.y;
        product.epilogue.residual_stride = y_stride;
      }
      table_->product(product);
    }
  }

 private:
  // Bytes of a row; not a power of two, or rows would compete for the same cache sets.
  int64_t stride() const { return right_.words * 4 + 64; }

  // A panel [depth, 16] as words, 32 apart; null: of zeros.
  void round_panel(const float* panel, uint32_t* out) {
    for (int64_t i = 0; i < right_.words; ++i, out += kDotPanel) {
      uint16_t pair[2 * kPanel] = {};
      if (panel != nullptr) {
        const int64_t count = std::min<int64_t>(2, block_->depth - 2 * i);
        table_->round(panel + 2 * i * kPanel, count * kPanel, pair);
      }
      for (int64_t j = 0; j < kPanel; ++j) {
        out[j] = uint32_t{pair[j]} | uint32_t{pair[kPanel + j]} << 16;
      }
    }
  }

  const DotTable* table_ = nullptr;
  const Block* block_ = nullptr;
  DotMatrix::Packed right_;
  int64_t capacity_ = 0;
  float* left_ = nullptr;
  uint16_t* words_ = nullptr;
  Scratch scratch_, rounded_;
};

// Rows [row, row + rows) and columns [column, column + width) of y.
struct Piece {
  int64_t row, rows, column, width;
};

template <typename Product, typename Right>
void multiply_piece(const GemmShape& shape, const Factor& a, const Right& right, const Sum& sum,
                    const Piece& piece) {
  thread_local Scratch panels;
  thread_local Product product;
  const int64_t step =
      std::max(Product::kDepth / right.row_grain(), int64_t{1}) * right.row_grain();
  const int64_t panel_count = panels_of(piece.width);
  float* const b = panels.floats(panel_count * kPanel * std::min(step, shape.depth));
  for (int64_t k = 0; k < shape.depth; k += step) {
    const Block block{a, k, std::min(step, shape.depth - k), piece.width, k > 0 || sum.add};
    right.pack(piece.column, piece.width, k, block.depth, b);
    if (sum.scale != 1.0F) {
      for (int64_t i = 0; i < panel_count * kPanel * block.depth; ++i) b[i] *= sum.scale;
    }
    product.set(block, b);
    for (int64_t r = 0; r < piece.rows; r += kRows) {
      product.multiply(piece.row + r, std::min(kRows, piece.rows - r),
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

// `each` calls its argument with every index below a count, on one thread or several.
template <typename Each, typename Right>
void multiply(const Each& each, const GemmShape& shape, const Factor& a, const Right& right,
              const Sum& sum, Arithmetic arithmetic) {
  const Pieces pieces(shape, right.column_grain());
  each(pieces.count(), [&](int64_t index) {
    if (arithmetic == Arithmetic::kBf16) {
      multiply_piece<RoundedBlock>(shape, a, right, sum, pieces.at(index));
    } else {
      multiply_piece<FloatBlock>(shape, a, right, sum, pieces.at(index));
    }
  });
}

struct Shared {
  ThreadPool& pool;

  template <typename Function>
  void operator()(int64_t count, const Function& fn) const {
    std::atomic<int64_t> next{0};
    pool.run([&](int) {
      for (int64_t i = next++; i < count; i = next++) fn(i);
    });
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

void gemm(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix& w, Way way,
          const Sum& sum, Arithmetic arithmetic) {
  const Matrix::Packed& packed = w.packed();
  const Factor a{x, x_stride};
  if (way == Way::kForward) {
    const GemmShape shape{m, packed.rows, packed.cols};
    return multiply(Shared{pool}, shape, a, ForwardWeights{packed}, sum, arithmetic);
  }
  const GemmShape shape{m, packed.cols, packed.rows};
  multiply(Shared{pool}, shape, a, BackwardWeights{packed}, sum, arithmetic);
}

}  // namespace fastvlm
