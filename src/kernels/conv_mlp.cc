// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv_mlp.h"

#include <algorithm>
#include <optional>

#include "kernels/dot_kernels.h"
#include "kernels/kernel_table.h"
#include "kernels/rolling_rows.h"

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

// Mixed rows that are made at once.
constexpr int64_t kRowsAhead = 8;

// The two linear layers, packed alike.
template <typename Weights>
struct Mlp {
  const Weights& fc1;
  const float* fc1_bias;
  const Weights& fc2;
};

// Rows [begin, end) of y = epilogue(fc2(gelu(fc1(conv(x)) + fc1_bias))); y and the epilogue are at
// row `begin`. `convolved` has room for what the convolution gives.
template <typename Weights>
void convolve_and_multiply(const float* x, int64_t height, int64_t width,
                           const DepthwiseConvolution& conv, int64_t begin, int64_t end,
                           float* convolved, const Mlp<Weights>& mlp, float* y,
                           const Epilogue& epilogue) {
  kernels().depthwise({x, height, width, &conv, begin, end, convolved, Activation::kNone});
  mlp_alone(convolved, (end - begin) * width, conv.channels_out(), mlp.fc1, mlp.fc1_bias, mlp.fc2,
            y, mlp.fc2.rows(), epilogue);
}

template <typename Weights>
void walk(ThreadPool& pool, const float* x, int64_t height, int64_t width,
          const DepthwiseConvolution& conv, const Mlp<Weights>& mlp, float* y,
          const Epilogue& epilogue) {
  const int64_t rows = tile_rows(height, width, pool.size());
  pool.for_each((height + rows - 1) / rows, [&](int64_t tile) {
    thread_local Scratch scratch;
    float* const convolved = scratch.floats(rows * width * conv.channels_out());
    const int64_t begin = tile * rows;
    convolve_and_multiply(x, height, width, conv, begin, std::min(begin + rows, height), convolved,
                          mlp, y + begin * width * mlp.fc2.rows(),
                          moved(epilogue, begin * width, 0));
  });
}

template <typename Weights>
void mixed_walk(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                const DepthwiseConvolution& mixer, const DepthwiseConvolution& conv,
                const Mlp<Weights>& mlp, float* y, const Epilogue& epilogue) {
  const int64_t rows = tile_rows(height, width, pool.size());
  const int64_t border = conv.kernel / 2;
  const int64_t row_floats = width * conv.channels_out();
  const int64_t room = std::max(rows, kRowsAhead) + 2 * border;
  const auto mix = [&](int64_t begin, int64_t end, float* out) {
    kernels().depthwise({x, height, width, &mixer, begin, end, out, Activation::kNone});
  };
  pool.share_out((height + rows - 1) / rows, [&](ThreadPool::Indices tiles) {
    thread_local Scratch scratch;
    float* const convolved = scratch.floats((rows + room) * row_floats);
    RollingRows mixed(row_floats, room, convolved + rows * row_floats);
    while (const std::optional<int64_t> tile = tiles.take()) {
      const int64_t begin = *tile * rows;
      const int64_t end = std::min(begin + rows, height);
      mixed.want(std::max<int64_t>(begin - border, 0), std::min(end + border, height),
                 std::min(tiles.end() * rows + border, height), mix);
      Epilogue residual = epilogue;
      residual.residual = mixed.row(begin);
      residual.residual_stride = conv.channels_out();
      // The rows are a map of their own: where it ends inside the other, nobody asks for outputs.
      convolve_and_multiply(mixed.row(mixed.begin()), mixed.count(), width, conv,
                            begin - mixed.begin(), end - mixed.begin(), convolved, mlp,
                            y + begin * width * mlp.fc2.rows(), residual);
    }
  });
}

}  // namespace

void conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
              const DepthwiseConvolution& conv, const Matrix& fc1, const float* fc1_bias,
              const Matrix& fc2, float* y, const Epilogue& epilogue) {
  walk<Matrix>(pool, x, height, width, conv, {fc1, fc1_bias, fc2}, y, epilogue);
}

void conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
              const DepthwiseConvolution& conv, const DotMatrix& fc1, const float* fc1_bias,
              const DotMatrix& fc2, float* y, const Epilogue& epilogue) {
  walk<DotMatrix>(pool, x, height, width, conv, {fc1, fc1_bias, fc2}, y, epilogue);
}

void mixed_conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                    const DepthwiseConvolution& mixer, const DepthwiseConvolution& conv,
                    const Matrix& fc1, const float* fc1_bias, const Matrix& fc2, float* y,
                    const Epilogue& epilogue) {
  mixed_walk<Matrix>(pool, x, height, width, mixer, conv, {fc1, fc1_bias, fc2}, y, epilogue);
}

void mixed_conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                    const DepthwiseConvolution& mixer, const DepthwiseConvolution& conv,
                    const DotMatrix& fc1, const float* fc1_bias, const DotMatrix& fc2, float* y,
                    const Epilogue& epilogue) {
  mixed_walk<DotMatrix>(pool, x, height, width, mixer, conv, {fc1, fc1_bias, fc2}, y, epilogue);
}

}  // namespace fastvlm
