// SPDX-License-Identifier: Apache-2.0
// Matrix products y = f(x W^T): every linear layer and 1x1 convolution of the towers, the projector
// and the language model. Activations are f32, rows of features, row-major.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/matrix.h"

namespace fastvlm {

enum class Activation { kNone, kGelu, kRelu };  // GELU is the exact one, with erf

// What happens to a product before it is stored:
//   y = residual + scale * activation(x W^T + bias)
// Null pointers leave their part out. `bias` and `scale` have one element an output; `residual` has
// the shape of y and may be y itself.
struct Epilogue {
  const float* bias = nullptr;
  Activation activation = Activation::kNone;
  const float* scale = nullptr;
  const float* residual = nullptr;
  int64_t residual_stride = 0;
};

// x [m, w.cols()] with rows `x_stride` apart, y [m, w.rows()] with rows `y_stride` apart. The
// result does not depend on the number of threads. m == 1 takes the matrix-vector path, which reads
// each weight once at full bandwidth.
void matmul(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix& w,
            float* y, int64_t y_stride, const Epilogue& epilogue = {});

// y = epilogue(fc2(gelu(fc1(x) + fc1_bias))): a ConvFFN or projector by tiles of rows, so that the
// expanded activations [m, fc1.rows()] never exist in memory as a whole. `y` must not overlap `x`.
void mlp(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix& fc1,
         const float* fc1_bias, const Matrix& fc2, float* y, int64_t y_stride,
         const Epilogue& epilogue = {});

}  // namespace fastvlm
