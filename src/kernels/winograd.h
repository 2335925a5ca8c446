// SPDX-License-Identifier: Apache-2.0
// Convolutions of all inputs to all outputs with a 3x3 kernel and stride 1, by Winograd's minimal
// filtering F(4x4, 3x3): 16 outputs take 36 multiplications an input instead of 144. Along each
// axis, 6 inputs and 3 weights are taken as polynomials and evaluated at six points, multiplied
// there, and 4 outputs read from the products (Lavin and Gray, "Fast Algorithms for Convolutional
// Neural Networks", 2016). Goals: maps with strides, as in spatial_convolution.h, and exactness
// near that of the plain sum: the points 0, +-sqrt 1/2, +-sqrt 2 and infinity keep what is added
// and cancelled small. Non-goals: other kernels and strides; narrow arithmetic, which loses too
// much between the points.
#pragma once

#include <cstdint>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/matmul.h"
#include "kernels/scratch.h"
#include "kernels/spatial_convolution.h"

namespace fastvlm {

// Four times the memory of the weights it is made from.
struct WinogradConvolution {
  int64_t channels_in = 0;
  WeightBytes weights;  // f32 [36, panels, channels_in, 16]: at a point, as products want them
  std::vector<float> bias;

  int64_t channels_out() const { return static_cast<int64_t>(bias.size()); }
};

// `weights` as PyTorch stores them, [channels_out, channels_in, 3, 3].
WinogradConvolution make_winograd(ThreadPool& pool, const std::vector<float>& weights,
                                  const std::vector<float>& bias, int64_t channels_in);

// y = epilogue(conv(x) + bias), as the same function of a SpatialConvolution. The result does not
// depend on the number of threads.
void convolve(ThreadPool& pool, const PixelView& x, const WinogradConvolution& conv, float* y,
              int64_t y_stride, Epilogue epilogue = {});

}  // namespace fastvlm
