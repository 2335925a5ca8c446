// SPDX-License-Identifier: Apache-2.0
// A linear layer with its adapter, both ways:
//   y = x W^T + bias + scale * dropout(x) A^T B^T
// W is frozen and stays as the model stores it, 4-bit weights too.
#pragma once

#include <span>

#include "base/thread_pool.h"
#include "kernels/scratch.h"
#include "language/lora.h"
#include "language/qwen2.h"
#include "train/elementwise_gradients.h"

namespace fastvlm {

// What a pass over one sequence shares: threads, the adapter, and which elements are dropped.
struct PassContext {
  ThreadPool& pool;
  const LoraAdapter& adapter;
  double dropout = 0;  // 0 where the loss is only looked at
  RandomStream random{0};
  Arithmetic arithmetic = Arithmetic::kF32;  // of products: f32 or bf16
  Scratch& scratch;                          // [rows, widest input] floats
};

class LoraLinear {
 public:
  // `module` is null where the layer is not adapted.
  LoraLinear(const Qwen2::Linear& linear, const LoraModule* module)
      : linear_(linear), module_(module) {}

  int64_t rank() const { return module_ == nullptr ? 0 : module_->rank; }
  int64_t in() const { return linear_.weights.cols(); }
  int64_t out() const { return linear_.weights.rows(); }

  // x [rows, in], y [rows, out]. `inner` [rows, rank] receives dropout(x) A^T for the way back.
  // Where `residual` [rows, out] is given, it is added; it may be y itself. y may be null: then
  // only `inner` is made.
  void forward(const PassContext& context, const float* x, int64_t rows, float* inner, float* y,
               const float* residual = nullptr) const;
  // Given the gradient by y, dx [rows, in] = that by x (+= where `add`), and those of A and B are
  // added to `gradient`, which lies as the adapter's parameters do.
  void backward(const PassContext& context, const float* x, const float* inner, const float* dy,
                int64_t rows, float* dx, bool add, std::span<float> gradient) const;

 private:
  void start(ThreadPool& pool, int64_t rows, const float* residual, float* y) const;
  Dropout dropout(const PassContext& context) const;
  // dropout(x), in the context's scratch unless nothing is dropped.
  const float* dropped(const PassContext& context, const float* x, int64_t rows) const;

  const Qwen2::Linear& linear_;
  const LoraModule* module_;
};

}  // namespace fastvlm
