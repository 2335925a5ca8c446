// SPDX-License-Identifier: Apache-2.0
// Matrix products y = f(x W^T): every linear layer and 1x1 convolution of the towers, the projector
// and the language model. Activations are f32, rows of features, row-major.
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernels/matrix.h"

namespace fastvlm {

// GELU is the exact one, with erf; SiLU is x sigmoid(x).
enum class Activation { kNone, kGelu, kRelu, kSilu };

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
// each weight once at full bandwidth. A matrix packed with Arithmetic::kInt8 multiplies x rounded
// to 8 bits, in groups of columns with steps of their own (kernel_table.h); a row's result does not
// depend on the other rows.
void matmul(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix& w,
            float* y, int64_t y_stride, const Epilogue& epilogue = {});

// One of several products of the same x: y [m, w.rows()].
struct Output {
  const Matrix& w;
  float* y = nullptr;
  int64_t y_stride = 0;
  Epilogue epilogue = {};
};

// The products of x and each output's matrix, all with the same number of columns. In one step of
// the team where the matrices are of one kind.
void matmul(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride,
            std::span<const Output> outputs);

// y = silu(x gate^T) * (x up^T), the first half of a gated MLP. `gate` and `up` have one shape; y
// is [m, gate.rows()].
void gated_matmul(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix& gate,
                  const Matrix& up, float* y);

// y = epilogue(fc2(gelu(fc1(x) + fc1_bias))): a ConvFFN or projector by tiles of rows, so that the
// expanded activations [m, fc1.rows()] never exist in memory as a whole. `y` must not overlap `x`.
void mlp(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const Matrix& fc1,
         const float* fc1_bias, const Matrix& fc2, float* y, int64_t y_stride,
         const Epilogue& epilogue = {});

}  // namespace fastvlm
