// SPDX-License-Identifier: Apache-2.0
// A block of the towers in one walk over the map: a depthwise convolution that mixes the pixels,
// and a ConvFFN, which is another depthwise convolution and two linear layers. So what one gives is
// used by the next while it lies in the cache.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/convolution.h"
#include "kernels/dot_matrix.h"
#include "kernels/matmul.h"

namespace fastvlm {

// y = epilogue(fc2(gelu(fc1(conv(x)) + fc1_bias))) for every pixel of x [height, width, channels];
// conv has stride 1. `y` must not overlap `x`; the epilogue's residual may be x.
void conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
              const DepthwiseConvolution& conv, const Matrix& fc1, const float* fc1_bias,
              const Matrix& fc2, float* y, const Epilogue& epilogue);
void conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
              const DepthwiseConvolution& conv, const DotMatrix& fc1, const float* fc1_bias,
              const DotMatrix& fc2, float* y, const Epilogue& epilogue);

// The same of mixer(x) instead of x, to which the result is added: the epilogue has no residual of
// its own. Bit for bit what depthwise() and conv_mlp() give.
void mixed_conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                    const DepthwiseConvolution& mixer, const DepthwiseConvolution& conv,
                    const Matrix& fc1, const float* fc1_bias, const Matrix& fc2, float* y,
                    const Epilogue& epilogue);
void mixed_conv_mlp(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                    const DepthwiseConvolution& mixer, const DepthwiseConvolution& conv,
                    const DotMatrix& fc1, const float* fc1_bias, const DotMatrix& fc2, float* y,
                    const Epilogue& epilogue);

}  // namespace fastvlm
