// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv_mlp.h"

#include <algorithm>
#include <atomic>
#include <cstring>

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

// Mixed rows that are made at once, and the shares of the map that a thread takes: each share mixes
// the rows at its borders, which its neighbours have too.
constexpr int64_t kRowsAhead = 8;
constexpr int64_t kSharesAThread = 2;

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
  std::atomic<int64_t> next{0};
  pool.run([&](int) {
    thread_local Scratch scratch;
    float* const convolved = scratch.floats(rows * width * conv.channels_out());
    for (int64_t begin = rows * next++; begin < height; begin = rows * next++) {
      convolve_and_multiply(x, height, width, conv, begin, std::min(begin + rows, height),
                            convolved, mlp, y + begin * width * mlp.fc2.rows(),
                            moved(epilogue, begin * width, 0));
    }
  });
}

// Rows of mixer(x) that move along: those that are asked for, and as many behind them as there is
// room for.
class MixedRows {
 public:
  MixedRows(const float* x, int64_t height, int64_t width, const DepthwiseConvolution& mixer,
            int64_t room, float* data)
      : mixer_{x, height, width, &mixer, 0, 0, nullptr, Activation::kNone},
        row_floats_(width * mixer.channels_out()),
        room_(room),
        data_(data) {}

  // Makes rows [begin, end) be there; none from `limit` on is worth making ahead.
  void want(int64_t begin, int64_t end, int64_t limit) {
    if (begin >= begin_ && end <= end_) return;
    if (begin < begin_ || begin > end_) end_ = begin;  // nothing of use is there
    const auto kept = static_cast<size_t>((end_ - begin) * row_floats_);
    if (kept > 0) std::memmove(data_, row(begin), kept * sizeof(float));
    begin_ = begin;
    mixer_.row_begin = end_;
    mixer_.row_end = std::min(begin + room_, limit);
    mixer_.y = row(end_);
    kernels().depthwise(mixer_);
    end_ = mixer_.row_end;
  }

  int64_t begin() const { return begin_; }
  int64_t count() const { return end_ - begin_; }
  float* row(int64_t y) { return data_ + (y - begin_) * row_floats_; }

 private:
  DepthwiseRows mixer_;
  int64_t row_floats_;
  int64_t room_;
  float* data_;
  int64_t begin_ = 0;
  int64_t end_ = 0;
};

template <typename Weights>
void mixed_walk(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                const DepthwiseConvolution& mixer, const DepthwiseConvolution& conv,
                const Mlp<Weights>& mlp, float* y, const Epilogue& epilogue) {
  const int64_t rows = tile_rows(height, width, pool.size());
  const int64_t border = conv.kernel / 2;
  const int64_t shares = pool.size() == 1 ? 1 : pool.size() * kSharesAThread;
  const int64_t share = (height + shares * rows - 1) / (shares * rows) * rows;
  const int64_t row_floats = width * conv.channels_out();
  const int64_t room = std::max(rows, kRowsAhead) + 2 * border;
  std::atomic<int64_t> next{0};
  pool.run([&](int) {
    thread_local Scratch scratch;
    float* const convolved = scratch.floats((rows + room) * row_floats);
    MixedRows mixed(x, height, width, mixer, room, convolved + rows * row_floats);
    for (int64_t first = share * next++; first < height; first = share * next++) {
      const int64_t last = std::min(first + share, height);
      for (int64_t begin = first; begin < last; begin += rows) {
        const int64_t end = std::min(begin + rows, last);
        mixed.want(std::max<int64_t>(begin - border, 0), std::min(end + border, height),
                   std::min(last + border, height));
        Epilogue residual = epilogue;
        residual.residual = mixed.row(begin);
        residual.residual_stride = conv.channels_out();
        // The rows are a map of their own: where it ends inside the other, nobody asks for outputs.
        convolve_and_multiply(mixed.row(mixed.begin()), mixed.count(), width, conv,
                              begin - mixed.begin(), end - mixed.begin(), convolved, mlp,
                              y + begin * width * mlp.fc2.rows(), residual);
      }
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
