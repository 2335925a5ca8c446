// SPDX-License-Identifier: Apache-2.0
#include "kernels/convolution.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "kernels/kernel_table.h"
#include "kernels/rolling_rows.h"
#include "kernels/scratch.h"

namespace fastvlm {
namespace {

// Of a depthwise convolution: enough that a thread which is held up costs little.
constexpr int64_t kPartsAThread = 4;
// Of the map between two convolutions: a thread's strip stays in the second-level cache.
constexpr int64_t kStripBytes = 512 * 1024;
// Rows that channel_mean adds up at once: whichever thread does it, the sums are the same.
constexpr int64_t kMeanRows = 16;

template <typename T>
void add(const T* x, int64_t count, double* sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += static_cast<double>(x[i]);
}

}  // namespace

DepthwiseConvolution make_depthwise(const std::vector<float>& weights,
                                    const std::vector<float>& bias, int kernel, int stride,
                                    int multiplier) {
  DepthwiseConvolution conv;
  conv.kernel = kernel;
  conv.stride = stride;
  conv.multiplier = multiplier;
  conv.channels_in = static_cast<int64_t>(bias.size()) / multiplier;
  const int64_t taps = int64_t{kernel} * kernel;
  const int64_t slices = (conv.channels_in + kDepthwiseSlice - 1) / kDepthwiseSlice;
  const int64_t vectors = slices * multiplier;
  conv.packed.resize(static_cast<size_t>(vectors * taps * kDepthwiseSlice));
  conv.packed_bias.resize(static_cast<size_t>(vectors * kDepthwiseSlice));
  for (int64_t out = 0; out < conv.channels_out(); ++out) {
    const int64_t in = out / multiplier;
    const int64_t vector = in / kDepthwiseSlice * multiplier + out % multiplier;
    const int64_t lane = in % kDepthwiseSlice;
    conv.packed_bias[static_cast<size_t>(vector * kDepthwiseSlice + lane)] =
        bias[static_cast<size_t>(out)];
    for (int64_t tap = 0; tap < taps; ++tap) {
      conv.packed[static_cast<size_t>((vector * taps + tap) * kDepthwiseSlice + lane)] =
          weights[static_cast<size_t>(out * taps + tap)];
    }
  }
  return conv;
}

void depthwise(ThreadPool& pool, const float* x, int64_t height, int64_t width,
               const DepthwiseConvolution& conv, float* y, Activation activation) {
  const int64_t out_height = (height + conv.stride - 1) / conv.stride;
  const int64_t row = (width + conv.stride - 1) / conv.stride * conv.channels_out();
  const int64_t parts = pool.size() == 1 ? 1 : kPartsAThread * pool.size();
  const int64_t rows = ((out_height + parts - 1) / parts + 1) / 2 * 2;
  pool.for_each((out_height + rows - 1) / rows, [&](int64_t part) {
    const int64_t begin = part * rows;
    const int64_t end = std::min(begin + rows, out_height);
    kernels().depthwise({x, height, width, &conv, begin, end, y + begin * row, activation});
  });
}

std::vector<float> columns_by_tap(const std::vector<float>& weights, int64_t channels_in,
                                  int kernel) {
  const int64_t taps = int64_t{kernel} * kernel;
  std::vector<float> rows(weights.size());
  for (int64_t i = 0; i < static_cast<int64_t>(weights.size()); ++i) {
    const int64_t tap = i % taps;
    const int64_t c = i / taps % channels_in;
    const int64_t out = i / taps / channels_in;
    rows[static_cast<size_t>((out * taps + tap) * channels_in + c)] =
        weights[static_cast<size_t>(i)];
  }
  return rows;
}

DenseConvolution make_dense(ThreadPool& pool, const std::vector<float>& weights,
                            const std::vector<float>& bias, int64_t channels_in, int kernel,
                            int stride) {
  DenseConvolution conv;
  conv.kernel = kernel;
  conv.stride = stride;
  conv.channels_in = channels_in;
  conv.bias = bias;
  const std::vector<float> rows = columns_by_tap(weights, channels_in, kernel);
  MatrixSource source;
  source.rows = static_cast<int64_t>(bias.size());
  source.cols = int64_t{kernel} * kernel * channels_in;
  source.data = rows.data();
  conv.weights = Matrix::pack(source, pool);
  return conv;
}

namespace {

// The inputs of output pixels [0, out_width) of row `out_y`, one row [kernel * kernel * channels]
// each, zero outside. Those under one row of the kernel lie side by side in the map; kLine is how
// many there are, so that copying them is no call, or 0 for any number.
template <int64_t kLine>
void gather_row(const float* x, int64_t height, int64_t width, const DenseConvolution& conv,
                int64_t out_y, int64_t out_width, float* rows) {
  const int64_t channels = conv.channels_in;
  const int64_t line = kLine > 0 ? kLine : conv.kernel * channels;
  const auto line_bytes = static_cast<size_t>(line) * sizeof(float);
  for (int64_t ky = 0; ky < conv.kernel; ++ky) {
    const int64_t in_y = out_y * conv.stride + ky - conv.kernel / 2;
    for (int64_t out_x = 0; out_x < out_width; ++out_x) {
      float* const out = rows + (out_x * conv.kernel + ky) * line;
      const int64_t in_x = out_x * conv.stride - conv.kernel / 2;
      const int64_t first = std::max<int64_t>(in_x, 0);
      const int64_t last = std::min(in_x + conv.kernel, width);
      if (in_y < 0 || in_y >= height || first >= last) {
        std::memset(out, 0, line_bytes);
        continue;
      }
      const float* const in = x + (in_y * width + first) * channels;
      if (last - first == conv.kernel) {
        std::memcpy(out, in, line_bytes);
      } else {
        std::memset(out, 0, line_bytes);
        std::memcpy(out + (first - in_x) * channels, in,
                    static_cast<size_t>((last - first) * channels) * sizeof(float));
      }
    }
  }
}

// Rows [begin, end) of a dense convolution of x [height, width, channels].
class DenseRows {
 public:
  DenseRows(const float* x, int64_t height, int64_t width, const DenseConvolution& conv,
            Activation activation)
      : x_(x),
        height_(height),
        width_(width),
        conv_(conv),
        // 9: a kernel of 3 over the three colours, the first layer of a tower.
        gather_(conv.kernel * conv.channels_in == 9 ? gather_row<9> : gather_row<0>),
        epilogue_{.bias = conv.bias.data(), .activation = activation} {}

  int64_t height() const { return (height_ + conv_.stride - 1) / conv_.stride; }
  int64_t width() const { return (width_ + conv_.stride - 1) / conv_.stride; }
  int64_t row_floats() const { return width() * conv_.weights.rows(); }

  void make(int64_t begin, int64_t end, float* y) const {
    thread_local Scratch scratch;
    float* const inputs = scratch.floats(width() * conv_.weights.cols());
    for (int64_t out_y = begin; out_y < end; ++out_y, y += row_floats()) {
      gather_(x_, height_, width_, conv_, out_y, width(), inputs);
      matmul_alone(inputs, width(), conv_.weights.cols(), conv_.weights, y, conv_.weights.rows(),
                   epilogue_);
    }
  }

 private:
  const float* x_;
  int64_t height_;
  int64_t width_;
  const DenseConvolution& conv_;
  decltype(&gather_row<0>) gather_;
  Epilogue epilogue_;
};

}  // namespace

void dense(ThreadPool& pool, const float* x, int64_t height, int64_t width,
           const DenseConvolution& conv, float* y, Activation activation) {
  const DenseRows rows(x, height, width, conv, activation);
  pool.for_each(rows.height(),
                [&](int64_t out_y) { rows.make(out_y, out_y + 1, y + out_y * rows.row_floats()); });
}

void dense_depthwise(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                     const DenseConvolution& first, const DepthwiseConvolution& second, float* y,
                     Activation activation) {
  const DenseRows between(x, height, width, first, activation);
  const int64_t stride = second.stride;
  const int64_t border = second.kernel / 2;
  const int64_t out_height = (between.height() + stride - 1) / stride;
  const int64_t out_row = (between.width() + stride - 1) / stride * second.channels_out();
  const int64_t row_bytes = between.row_floats() * int64_t{sizeof(float)};
  const int64_t rows = std::clamp<int64_t>(kStripBytes / row_bytes / stride, 1, out_height);
  // A strip begins at a multiple of the stride, so that its rows are a map of their own.
  const int64_t above = (border + stride - 1) / stride * stride;
  const int64_t room = rows * stride + above + border;
  pool.share_out((out_height + rows - 1) / rows, [&](ThreadPool::Indices strips) {
    thread_local Scratch scratch;
    RollingRows map(between.row_floats(), room, scratch.floats(room * between.row_floats()));
    while (const std::optional<int64_t> strip = strips.take()) {
      const int64_t begin = *strip * rows;
      const int64_t end = std::min(begin + rows, out_height);
      map.want(std::max<int64_t>(begin * stride - above, 0),
               std::min((end - 1) * stride + border + 1, between.height()),
               std::min(strips.end() * rows * stride, between.height()),
               [&](int64_t from, int64_t to, float* out) { between.make(from, to, out); });
      const int64_t skipped = map.begin() / stride;
      kernels().depthwise({map.row(map.begin()), map.count(), between.width(), &second,
                           begin - skipped, end - skipped, y + begin * out_row, activation});
    }
  });
}

void channel_mean(ThreadPool& pool, const float* x, int64_t rows, int64_t channels, float* mean) {
  thread_local Scratch scratch;
  const int64_t blocks = (rows + kMeanRows - 1) / kMeanRows;
  auto* const sums =
      reinterpret_cast<double*>(scratch.bytes(blocks * channels * int64_t{sizeof(double)}));
  pool.for_each(blocks, [&](int64_t block) {
    double* const sum = sums + block * channels;
    std::fill_n(sum, channels, 0.0);
    const int64_t end = std::min((block + 1) * kMeanRows, rows);
    for (int64_t r = block * kMeanRows; r < end; ++r) add(x + r * channels, channels, sum);
  });
  for (int64_t block = 1; block < blocks; ++block) add(sums + block * channels, channels, sums);
  for (int64_t c = 0; c < channels; ++c) {
    mean[c] = static_cast<float>(sums[c] / static_cast<double>(rows));
  }
}

void scale_channels_gelu(ThreadPool& pool, float* x, int64_t rows, int64_t channels,
                         const float* scale) {
  pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) kernels().scale_gelu(x + r * channels, scale, channels);
  });
}

}  // namespace fastvlm
