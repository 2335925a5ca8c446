// SPDX-License-Identifier: Apache-2.0
#include "kernels/convolution.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/kernel_table.h"

namespace fastvlm {

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
  pool.parallel_for(out_height, 2, [&](int64_t begin, int64_t end) {
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

}  // namespace

void dense(ThreadPool& pool, const float* x, int64_t height, int64_t width,
           const DenseConvolution& conv, float* y, Activation activation) {
  const int64_t out_height = (height + conv.stride - 1) / conv.stride;
  const int64_t out_width = (width + conv.stride - 1) / conv.stride;
  const int64_t outputs = conv.weights.rows();
  Epilogue epilogue;
  epilogue.bias = conv.bias.data();
  epilogue.activation = activation;
  // 9: a kernel of 3 over the three colours, the first layer of a tower.
  const auto gather = conv.kernel * conv.channels_in == 9 ? gather_row<9> : gather_row<0>;
  std::atomic<int64_t> next{0};
  pool.run([&](int) {
    thread_local Scratch scratch;  // one row of output pixels
    float* const rows = scratch.floats(out_width * conv.weights.cols());
    for (int64_t out_y = next++; out_y < out_height; out_y = next++) {
      gather(x, height, width, conv, out_y, out_width, rows);
      matmul_alone(rows, out_width, conv.weights.cols(), conv.weights,
                   y + out_y * out_width * outputs, outputs, epilogue);
    }
  });
}

void channel_mean(ThreadPool& pool, const float* x, int64_t rows, int64_t channels, float* mean) {
  pool.parallel_for(channels, 16, [&](int64_t begin, int64_t end) {
    std::vector<double> sums(static_cast<size_t>(end - begin));
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = x + r * channels + begin;
      for (size_t c = 0; c < sums.size(); ++c) sums[c] += static_cast<double>(row[c]);
    }
    for (size_t c = 0; c < sums.size(); ++c) {
      mean[begin + static_cast<int64_t>(c)] =
          static_cast<float>(sums[c] / static_cast<double>(rows));
    }
  });
}

void scale_channels_gelu(ThreadPool& pool, float* x, int64_t rows, int64_t channels,
                         const float* scale) {
  pool.parallel_for(rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) kernels().scale_gelu(x + r * channels, scale, channels);
  });
}

}  // namespace fastvlm
