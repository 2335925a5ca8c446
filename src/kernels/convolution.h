// SPDX-License-Identifier: Apache-2.0
// Convolutions of the FastViT family over NHWC activations (batch 1): x [height, width, channels]
// f32, zero padding kernel / 2 on every side, output side = (side + stride - 1) / stride for odd
// kernels.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/matmul.h"
#include "kernels/matrix.h"

namespace fastvlm {

inline constexpr int kMaximalKernel = 15;

// One or more outputs an input channel: output o reads input o / multiplier. FastViT uses 3x3 and
// 7x7, stride 1 and 2, multiplier 1 and 2; the kernel is at most kMaximalKernel wide.
struct DepthwiseConvolution {
  int kernel = 0;
  int stride = 1;
  int multiplier = 1;
  int64_t channels_in = 0;
  // Slices of 16 input channels, the last one padded with zeros:
  std::vector<float> packed;       // [slices, multiplier, kernel * kernel, 16]
  std::vector<float> packed_bias;  // [slices, multiplier, 16]

  int64_t channels_out() const { return channels_in * multiplier; }
};
inline constexpr int64_t kDepthwiseSlice = 16;

// `weights` as PyTorch stores them, [channels_out, 1, kernel, kernel]; `bias` [channels_out].
DepthwiseConvolution make_depthwise(const std::vector<float>& weights,
                                    const std::vector<float>& bias, int kernel, int stride,
                                    int multiplier);

// y [out_height, out_width, channels_out] = activation(conv(x) + bias). `y` must not overlap `x`.
void depthwise(ThreadPool& pool, const float* x, int64_t height, int64_t width,
               const DepthwiseConvolution& conv, float* y,
               Activation activation = Activation::kNone);

// A convolution with all inputs to all outputs (the stem's first, 3 -> C).
struct DenseConvolution {
  int kernel = 0;
  int stride = 1;
  int64_t channels_in = 0;
  Matrix weights;  // [channels_out, kernel * kernel * channels_in], columns ordered (ky, kx, c)
  std::vector<float> bias;
};

// Weights as PyTorch stores them, [channels_out, channels_in, kernel, kernel], with columns in the
// order of the pixels that a product reads: [channels_out, kernel * kernel * channels_in].
std::vector<float> columns_by_tap(const std::vector<float>& weights, int64_t channels_in,
                                  int kernel);

// `weights` as PyTorch stores them.
DenseConvolution make_dense(ThreadPool& pool, const std::vector<float>& weights,
                            const std::vector<float>& bias, int64_t channels_in, int kernel,
                            int stride);

void dense(ThreadPool& pool, const float* x, int64_t height, int64_t width,
           const DenseConvolution& conv, float* y, Activation activation = Activation::kNone);

// y = activation(depthwise(activation(dense(x)))), strip by strip, so that the map between the two
// is used while it lies in a core's cache, and never there as a whole. Bit for bit what the two
// give.
void dense_depthwise(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                     const DenseConvolution& first, const DepthwiseConvolution& second, float* y,
                     Activation activation);

// mean over rows: x [rows, channels] -> mean [channels] (squeeze-and-excitation; sums in double).
void channel_mean(ThreadPool& pool, const float* x, int64_t rows, int64_t channels, float* mean);

// x[r, c] = gelu(x[r, c] * scale[c]) in place.
void scale_channels_gelu(ThreadPool& pool, float* x, int64_t rows, int64_t channels,
                         const float* scale);

}  // namespace fastvlm
