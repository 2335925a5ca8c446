// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv_mlp.h"

#include <algorithm>
#include <atomic>

#include "kernels/dot_kernels.h"
#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// Pixels a tile, or two rows of the map: large enough for the products' own tiles.
constexpr int64_t kPixels = 132;

// Rows of the map a tile: an even number, and a tile for each thread.
int64_t tile_rows(int64_t height, int64_t width, int team) {
  const int64_t share = (height + team - 1) / team;
  const int64_t rows = std::min(std::max<int64_t>(kPixels / width, 2), share);
  return std::max<int64_t>(rows / 2 * 2, 1);
}

template <typename Weights>
void walk(ThreadPool& pool, const float* x, int64_t height, int64_t width,
          const DepthwiseConvolution& conv, const Weights& fc1, const float* fc1_bias,
          const Weights& fc2, float* y, const Epilogue& epilogue) {
  const int64_t rows = tile_rows(height, width, pool.size());
  std::atomic<int64_t> next{0};
  pool.run([&](int) {
    thread_local Scratch scratch;  // what the convolution gives for one tile
    float* const mixed = scratch.floats(rows * width * conv.channels_out());
    for (int64_t begin = rows * next++; begin < height; begin = rows * next++) {
      const int64_t end = std::min(begin + rows, height);
      kernels().depthwise({x, height, width, &conv, begin, end, mixed, Activation::kNone});
      mlp_alone(mixed, (end - begin) * width, conv.channels_out(), fc1, fc1_bias, fc2,
                y + begin * width * fc2.rows(), fc2.rows(), moved(epilogue, begin * width, 0));
    }
  });
}

}  // namespace

void conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
              const DepthwiseConvolution& conv, const Matrix& fc1, const float* fc1_bias,
              const Matrix& fc2, float* y, const Epilogue& epilogue) {
  walk(pool, x, height, width, conv, fc1, fc1_bias, fc2, y, epilogue);
}

void conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
              const DepthwiseConvolution& conv, const DotMatrix& fc1, const float* fc1_bias,
              const DotMatrix& fc2, float* y, const Epilogue& epilogue) {
  walk(pool, x, height, width, conv, fc1, fc1_bias, fc2, y, epilogue);
}

}  // namespace fastvlm
