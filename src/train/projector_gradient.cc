// SPDX-License-Identifier: Apache-2.0
#include "train/projector_gradient.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/gemm.h"

namespace fastvlm {
namespace {

constexpr int64_t kWorthSharingOut = 4096;  // elements a thread
constexpr auto kRootHalf = static_cast<float>(1 / std::numbers::sqrt2);
// Of the normal distribution's density, 1 / sqrt(2 pi).
constexpr auto kDensity = static_cast<float>(std::numbers::inv_sqrtpi / std::numbers::sqrt2);

// The normal distribution up to x.
float normal(float x) {
  return 0.5F * (1 + std::erf(x * kRootHalf));
}

// y [rows, width] = bias in each row.
void start(const float* bias, int64_t rows, int64_t width, float* y) {
  for (int64_t r = 0; r < rows; ++r) std::copy_n(bias, width, y + r * width);
}

// sums [width] += the sums of d's columns.
void add_columns(ThreadPool& pool, const float* d, int64_t rows, int64_t width, float* sums) {
  pool.parallel_for(width, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double sum = 0;
      for (int64_t r = 0; r < rows; ++r) sum += static_cast<double>(d[r * width + i]);
      sums[i] += static_cast<float>(sum);
    }
  });
}

}  // namespace

void gelu(ThreadPool& pool, float* x, int64_t count) {
  pool.parallel_for(count, kWorthSharingOut, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) x[i] *= normal(x[i]);
  });
}

void gelu_backward(ThreadPool& pool, const float* x, int64_t count, float* dy) {
  pool.parallel_for(count, kWorthSharingOut, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      dy[i] *= normal(x[i]) + x[i] * kDensity * std::exp(-0.5F * x[i] * x[i]);
    }
  });
}

void ProjectorGradient::forward(ThreadPool& pool, std::span<const float> weights, const float* x,
                                int64_t rows, float* y) {
  const auto [inputs, hidden] = shape_;
  const float* const w = weights.data();
  inner_ = memory_.floats(3 * rows * hidden);
  start(w + shape_.first_bias(), rows, hidden, inner_);
  gemm(pool, {rows, hidden, inputs}, {x, inputs}, {w + shape_.first_weight(), inputs, true},
       {inner_, hidden, 1.0F, true});
  float* const active = inner_ + rows * hidden;
  std::copy_n(inner_, rows * hidden, active);
  gelu(pool, active, rows * hidden);
  start(w + shape_.second_bias(), rows, hidden, y);
  gemm(pool, {rows, hidden, hidden}, {active, hidden}, {w + shape_.second_weight(), hidden, true},
       {y, hidden, 1.0F, true});
}

void ProjectorGradient::backward(ThreadPool& pool, std::span<const float> weights, const float* x,
                                 const float* dy, int64_t rows, std::span<float> gradient) {
  const auto [inputs, hidden] = shape_;
  float* const active = inner_ + rows * hidden;
  float* const dinner = active + rows * hidden;
  float* const d = gradient.data();
  gemm(pool, {hidden, hidden, rows}, {dy, hidden, true}, {active, hidden},
       {d + shape_.second_weight(), hidden, 1.0F, true});
  add_columns(pool, dy, rows, hidden, d + shape_.second_bias());
  gemm(pool, {rows, hidden, hidden}, {dy, hidden},
       {weights.data() + shape_.second_weight(), hidden}, {dinner, hidden});
  gelu_backward(pool, inner_, rows * hidden, dinner);
  gemm(pool, {hidden, inputs, rows}, {dinner, hidden, true}, {x, inputs},
       {d + shape_.first_weight(), inputs, 1.0F, true});
  add_columns(pool, dinner, rows, hidden, d + shape_.first_bias());
}

}  // namespace fastvlm
