// SPDX-License-Identifier: Apache-2.0
// The projector, both ways, where it learns (docs/MODEL.md, section 2):
//   y = gelu(x W0^T + b0) W2^T + b2, with the exact GELU
// Weights and products are f32 whatever the precision of the run: it is one part in three hundred
// of the work.
#pragma once

#include <span>

#include "base/thread_pool.h"
#include "formats/projector_weights.h"
#include "kernels/scratch.h"

namespace fastvlm {

class ProjectorGradient {
 public:
  explicit ProjectorGradient(const ProjectorShape& shape) : shape_(shape) {}

  // x [rows, inputs], y [rows, hidden]; `weights` [shape.size()].
  void forward(ThreadPool& pool, std::span<const float> weights, const float* x, int64_t rows,
               float* y);
  // Given the gradient by y of the last forward(), with the same x: `gradient` [shape.size()] +=
  // that by the weights. The tower is frozen, so that there is none by x.
  void backward(ThreadPool& pool, std::span<const float> weights, const float* x, const float* dy,
                int64_t rows, std::span<float> gradient);

 private:
  ProjectorShape shape_;
  Scratch memory_;
  float* inner_ = nullptr;  // [rows, hidden]: x W0^T + b0
};

// For y = gelu(x): x becomes gelu(x).
void gelu(ThreadPool& pool, float* x, int64_t count);
// For y = gelu(x): dy becomes the gradient by x.
void gelu_backward(ThreadPool& pool, const float* x, int64_t count, float* dy);

}  // namespace fastvlm
