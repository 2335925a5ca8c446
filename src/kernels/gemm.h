// SPDX-License-Identifier: Apache-2.0
// Products whose factors are not weights packed in advance: what a backward pass needs. Goals: any
// of the factors may be read as its transpose, so that gradients need no copies; packed weights
// serve both ways as they are, 4-bit ones dequantised tile by tile. What comes and goes is f32;
// where kBf16 is asked for, factors are rounded to bf16 tile by tile and sums stay f32. The result
// does not depend on the number of threads. Non-goal: products of a single row (matmul.h).
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/matrix.h"
#include "kernels/precision.h"

namespace fastvlm {

// A matrix of f32 with rows `stride` floats apart; where `transposed`, the factor is its transpose.
struct Factor {
  const float* data = nullptr;
  int64_t stride = 0;
  bool transposed = false;
};

// What is done with a product [m, n]: y = scale * product, or y += scale * product. Rows of y are
// `stride` floats apart.
struct Sum {
  float* y = nullptr;
  int64_t stride = 0;
  float scale = 1.0F;
  bool add = false;
};

struct GemmShape {
  int64_t m = 0;
  int64_t n = 0;
  int64_t depth = 0;
};

// a [m, depth] times b [depth, n]. `sum.y` must not overlap a or b.
void gemm(ThreadPool& pool, const GemmShape& shape, const Factor& a, const Factor& b,
          const Sum& sum, Arithmetic arithmetic = Arithmetic::kF32);
// The same by the calling thread alone, for drivers that share out the work otherwise.
void gemm_alone(const GemmShape& shape, const Factor& a, const Factor& b, const Sum& sum,
                Arithmetic arithmetic = Arithmetic::kF32);

// Rows [begin, end) of weights: some outputs of a layer. `begin` is a multiple of 16.
struct MatrixRows {
  MatrixRows(const Matrix& matrix)  // NOLINT(google-explicit-constructor): all of them
      : w(matrix), end(matrix.rows()) {}
  MatrixRows(const Matrix& matrix, int64_t first, int64_t last)
      : w(matrix), begin(first), end(last) {}

  const Matrix& w;
  int64_t begin = 0;
  int64_t end = 0;
};

enum class Way { kForward, kBack };
// What a linear layer y = x W^T multiplies with its weights, rows `x_stride` apart. Forward: x W^T
// for x [m, columns of W]; back: x W for x [m, rows of W].
void gemm(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const MatrixRows& w,
          Way way, const Sum& sum, Arithmetic arithmetic = Arithmetic::kF32);

}  // namespace fastvlm
