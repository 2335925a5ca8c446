// SPDX-License-Identifier: Apache-2.0
// What norms, gates and dropout do on the way back. Rows are contiguous f32; nothing here depends
// on the number of threads.
#pragma once

#include <cstdint>

#include "base/random.h"
#include "base/thread_pool.h"

namespace fastvlm {

// For y = x * rsqrt(mean(x^2) + eps) * weight per row: dx += the gradient by x, given that by y.
// [rows, width]. The weight is frozen.
void rms_norm_backward(ThreadPool& pool, const float* x, const float* dy, int64_t rows,
                       int64_t width, const float* weight, float eps, float* dx);

// For y = silu(gate) * up: `gate` and `up` become the gradients by themselves.
void gated_backward(ThreadPool& pool, const float* dy, int64_t count, float* gate, float* up);

// Elements that are dropped become zero, the others grow by as much as that takes away on average.
// Which they are depends on the stream and the element's index alone; the rate is rounded to a
// multiple of 2^-16.
class Dropout {
 public:
  Dropout(double rate, const RandomStream& stream);

  bool active() const { return threshold_ > 0; }
  // y = dropout(x)
  void apply(ThreadPool& pool, const float* x, int64_t count, float* y) const;
  // dx += the gradient by x, given that by y
  void backward(ThreadPool& pool, const float* dy, int64_t count, float* dx) const;

 private:
  template <typename Function>
  void for_each(ThreadPool& pool, int64_t count, const Function& fn) const;

  uint64_t threshold_;  // of 2^16
  float scale_;
  RandomStream stream_;
};

}  // namespace fastvlm
