// SPDX-License-Identifier: Apache-2.0
// Arithmetic::kInt8: the rows of x are rounded once, in tiles that all products share, and blocks
// of panels are handed out to the team.
#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// A block of panels stays in the second-level cache (512 KB) while the tiles go by.
constexpr int64_t kBlockBytes = 192 * 1024;
// Tiles a thread from which on each has rows of its own: so many that it costs little to read the
// weights once for each thread.
constexpr int64_t kTilesAThread = 4;
constexpr int64_t kBlocksAThread = 4;  // enough that a thread that is held up costs little

// The rows of x in tiles of nearly equal size.
class Tiles {
 public:
  Tiles(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix::Packed& w)
      : m_(m), count_((m + kernels().most_tile_rows - 1) / kernels().most_tile_rows) {
    thread_local Scratch scratch;
    row_bytes_ = tile_row_bytes(w);
    data_ = scratch.bytes(m * row_bytes_);
    pool.parallel_for(count_, 1, [&](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t) {
        kernels().quantise_tile(w, x + row(t) * x_stride, rows(t), x_stride, data(t));
      }
    });
  }

  int64_t count() const { return count_; }
  int64_t row(int64_t tile) const { return m_ * tile / count_; }
  int64_t rows(int64_t tile) const { return row(tile + 1) - row(tile); }
  std::byte* data(int64_t tile) const { return data_ + row(tile) * row_bytes_; }

 private:
  int64_t m_;
  int64_t count_;
  int64_t row_bytes_ = 0;
  std::byte* data_ = nullptr;
};

// Panels a block, such that each thread has several of them.
int64_t panels_a_block(const Matrix::Packed& w, int64_t threads) {
  const int64_t fitting = std::max<int64_t>(1, kBlockBytes / w.panel_bytes);
  const int64_t shares = threads == 1 ? 1 : threads * kBlocksAThread;
  return std::clamp<int64_t>(panels_of(w.rows) / shares, 1, fitting);
}

// The columns of panels [begin, end) of one output, of a part of the tiles of rows.
struct Block {
  const Output* output;
  int64_t begin, end;
  int64_t first_tile, last_tile;
};

// Calls fn(block) for all blocks of the outputs, each on some thread. With many rows each thread
// has rows of its own, so that it reads what it wrote; with few, columns of its own, so that the
// weights are read once.
template <typename Function>
void for_each_block(ThreadPool& pool, std::span<const Output> outputs, const Tiles& tiles,
                    const Function& fn) {
  std::vector<Block> blocks;
  const int64_t parts = tiles.count() >= kTilesAThread * pool.size() ? pool.size() : 1;
  for (int64_t part = 0; part < parts; ++part) {
    for (const Output& output : outputs) {
      const Matrix::Packed& w = output.w.packed();
      const int64_t step = panels_a_block(w, pool.size());
      for (int64_t begin = 0; begin < panels_of(w.rows); begin += step) {
        blocks.push_back({&output, begin, std::min(begin + step, panels_of(w.rows)),
                          tiles.count() * part / parts, tiles.count() * (part + 1) / parts});
      }
    }
  }
  pool.for_each(static_cast<int64_t>(blocks.size()),
                [&](int64_t i) { fn(blocks[static_cast<size_t>(i)]); });
}

TileProduct product_of(const Tiles& tiles, int64_t tile, const Block& block) {
  const Output& output = *block.output;
  const int64_t row = tiles.row(tile);
  const int64_t column = block.begin * kPanel;
  TileProduct product;
  product.w = &output.w.packed();
  product.tile = tiles.data(tile);
  product.rows = tiles.rows(tile);
  product.begin = block.begin;
  product.end = block.end;
  product.y = output.y + row * output.y_stride + column;
  product.y_stride = output.y_stride;
  product.epilogue = moved(output.epilogue, row, column);
  return product;
}

}  // namespace

void matmul_int8(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride,
                 std::span<const Output> outputs) {
  const Tiles tiles(pool, x, m, x_stride, outputs.front().w.packed());
  for_each_block(pool, outputs, tiles, [&](const Block& block) {
    for (int64_t t = block.first_tile; t < block.last_tile; ++t) {
      kernels().tile_product(product_of(tiles, t, block));
    }
  });
}

void gated_matmul_int8(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride,
                       const Matrix& gate, const Matrix& up, float* y) {
  const KernelTable& table = kernels();
  const Tiles tiles(pool, x, m, x_stride, gate.packed());
  const Output output{gate, y, gate.rows()};
  for_each_block(pool, {&output, 1}, tiles, [&](const Block& block) {
    thread_local Scratch scratch;
    const int64_t stride = (block.end - block.begin) * kPanel;
    const int64_t columns = std::min(stride, gate.rows() - block.begin * kPanel);
    float* const ups = scratch.floats(table.most_tile_rows * stride);
    for (int64_t t = block.first_tile; t < block.last_tile; ++t) {
      TileProduct product = product_of(tiles, t, block);
      float* const gates = product.y;
      table.tile_product(product);
      product.w = &up.packed();
      product.y = ups;
      product.y_stride = stride;
      table.tile_product(product);
      for (int64_t r = 0; r < product.rows; ++r) {
        table.silu_multiply(gates + r * gate.rows(), ups + r * stride, columns);
      }
    }
  });
}

}  // namespace fastvlm
