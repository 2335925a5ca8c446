// SPDX-License-Identifier: Apache-2.0
// Convolutions of all inputs to all outputs with a kernel wider than one pixel, the bulk of a
// detector's work. Maps are NHWC (batch 1) whose pixels may lie further apart than they are wide,
// so that what others concatenate is written in place. Goals: every input is read and rounded once
// a strip, not once a tap. Non-goals: dilation, groups, padding other than zeros of kernel / 2.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/dot_matrix.h"
#include "kernels/matmul.h"
#include "kernels/matrix.h"

namespace fastvlm {

struct SpatialConvolution {
  int kernel = 0;  // side, odd
  int stride = 1;
  int64_t channels_in = 0;
  // [channels_out, kernel * kernel * channels_in], columns ordered (ky, kx, c)
  std::variant<Matrix, DotMatrix> weights;
  std::vector<float> bias;

  int64_t channels_out() const { return static_cast<int64_t>(bias.size()); }
};

// `weights` as PyTorch stores them, [channels_out, channels_in, kernel, kernel]. At int8 all inputs
// of a strip of rows share one scale and offset, which do not depend on the number of threads.
// Channels that do not fill words of four (bf16: two) numbers are computed at f32.
SpatialConvolution make_spatial(ThreadPool& pool, const std::vector<float>& weights,
                                const std::vector<float>& bias, int64_t channels_in, int kernel,
                                int stride, Arithmetic arithmetic);

// Pixels [height, width, channels], `stride` floats from one to the next.
struct PixelView {
  const float* x = nullptr;
  int64_t height = 0;
  int64_t width = 0;
  int64_t stride = 0;
};

// y = epilogue(conv(x) + bias), sides (side + stride - 1) / stride, pixels `y_stride` apart. `y`
// must not overlap `x`, the epilogue's residual may be what y replaces. Its bias is the
// convolution's.
void convolve(ThreadPool& pool, const PixelView& x, const SpatialConvolution& conv, float* y,
              int64_t y_stride, Epilogue epilogue = {});

}  // namespace fastvlm
