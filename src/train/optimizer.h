// SPDX-License-Identifier: Apache-2.0
// AdamW with decoupled weight decay, as PyTorch computes it (betas 0.9 and 0.999, eps 1e-8).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/thread_pool.h"

namespace fastvlm {

// sum += values, element by element.
void add(ThreadPool& pool, std::span<const float> values, std::span<float> sum);

// The Euclidean norm; the same whatever the number of threads.
double norm(ThreadPool& pool, std::span<const float> values);

// What a gradient is multiplied with so that its norm is at most `largest`, as
// torch.nn.utils.clip_grad_norm_ has it.
float clip_factor(double norm, double largest);

class AdamW {
 public:
  // The weights of the first `decayed` parameters decay; biases come last and do not.
  AdamW(size_t count, double weight_decay, size_t decayed)
      : weight_decay_(weight_decay), decayed_(decayed), first_(count), second_(count) {}

  // One step with `factor` times the gradient.
  void step(ThreadPool& pool, std::span<const float> gradient, float factor, double rate,
            std::span<float> parameters);

  // What a checkpoint keeps.
  int64_t steps() const { return steps_; }
  void set_steps(int64_t steps) { steps_ = steps; }
  std::span<float> first_moments() { return first_; }
  std::span<float> second_moments() { return second_; }

 private:
  double weight_decay_;
  size_t decayed_;
  int64_t steps_ = 0;
  std::vector<float> first_, second_;
};

}  // namespace fastvlm
