// SPDX-License-Identifier: Apache-2.0
#include "train/lora_linear.h"

#include <algorithm>

#include "kernels/gemm.h"

namespace fastvlm {

Dropout LoraLinear::dropout(const PassContext& context) const {
  const auto index = static_cast<uint64_t>(module_ - context.adapter.modules().data());
  return {context.dropout, context.random.part(index)};
}

const float* LoraLinear::dropped(const PassContext& context, const float* x, int64_t rows) const {
  const Dropout drop = dropout(context);
  if (!drop.active()) return x;
  float* const y = context.scratch.floats(rows * in());
  drop.apply(context.pool, x, rows * in(), y);
  return y;
}

// y = bias + residual, where there are such.
void LoraLinear::start(ThreadPool& pool, int64_t rows, const float* residual, float* y) const {
  pool.parallel_for(rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* const row = y + r * out();
      if (residual == nullptr) {
        std::fill_n(row, out(), 0.0F);
      } else if (residual != y) {
        std::copy_n(residual + r * out(), out(), row);
      }
      for (size_t i = 0; i < linear_.bias.size(); ++i) row[i] += linear_.bias[i];
    }
  });
}

void LoraLinear::forward(const PassContext& context, const float* x, int64_t rows, float* inner,
                         float* y, const float* residual) const {
  ThreadPool& pool = context.pool;
  if (y != nullptr) {
    start(pool, rows, residual, y);
    gemm(pool, x, rows, in(), linear_.weights, Way::kForward, {y, out(), 1.0F, true},
         context.arithmetic);
  }
  if (module_ == nullptr) return;
  const float* const parameters = context.adapter.parameters().data();
  gemm(pool, {rows, rank(), in()}, {dropped(context, x, rows), in()},
       {parameters + module_->a, in(), true}, {inner, rank()}, context.arithmetic);
  if (y == nullptr) return;
  gemm(pool, {rows, out(), rank()}, {inner, rank()}, {parameters + module_->b, rank(), true},
       {y, out(), module_->scale, true}, context.arithmetic);
}

void LoraLinear::backward(const PassContext& context, const float* x, const float* inner,
                          const float* dy, int64_t rows, float* dx, bool add,
                          std::span<float> gradient) const {
  ThreadPool& pool = context.pool;
  const Arithmetic arithmetic = context.arithmetic;
  gemm(pool, dy, rows, out(), linear_.weights, Way::kBack, {dx, in(), 1.0F, add}, arithmetic);
  if (module_ == nullptr) return;
  const float* const a = context.adapter.parameters().data() + module_->a;
  const float* const b = context.adapter.parameters().data() + module_->b;
  thread_local Scratch memory;
  float* const dinner = memory.floats(rows * rank());
  gemm(pool, {rows, rank(), out()}, {dy, out()}, {b, rank()}, {dinner, rank(), module_->scale},
       arithmetic);
  gemm(pool, {out(), rank(), rows}, {dy, out(), true}, {inner, rank()},
       {gradient.data() + module_->b, rank(), module_->scale, true}, arithmetic);
  gemm(pool, {rank(), in(), rows}, {dinner, rank(), true}, {dropped(context, x, rows), in()},
       {gradient.data() + module_->a, in(), 1.0F, true}, arithmetic);
  const Dropout drop = dropout(context);
  if (!drop.active()) {
    return gemm(pool, {rows, in(), rank()}, {dinner, rank()}, {a, in()}, {dx, in(), 1.0F, true},
                arithmetic);
  }
  float* const through = context.scratch.floats(rows * in());
  gemm(pool, {rows, in(), rank()}, {dinner, rank()}, {a, in()}, {through, in()}, arithmetic);
  drop.backward(pool, through, rows * in(), dx);
}

}  // namespace fastvlm
