// SPDX-License-Identifier: Apache-2.0
// Products whose factors are not weights packed in advance: what a backward pass needs. Goals: any
// of the factors may be read as its transpose, so that gradients need no copies; packed weights
// serve the way back as they are, 4-bit ones dequantised tile by tile. Everything is f32, and the
// result does not depend on the number of threads. Non-goal: products of a single row (matmul.h).
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/matrix.h"

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
          const Sum& sum);
// The same by the calling thread alone, for drivers that share out the work otherwise.
void gemm_alone(const GemmShape& shape, const Factor& a, const Factor& b, const Sum& sum);

// x W for x [m, w.rows()], rows `x_stride` apart: what a linear layer y = x W^T does on the way
// back. The product is [m, w.cols()].
void matmul_transposed(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride,
                       const Matrix& w, const Sum& sum);

}  // namespace fastvlm
