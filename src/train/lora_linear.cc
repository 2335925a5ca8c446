// SPDX-License-Identifier: Apache-2.0
#include "train/lora_linear.h"

#include "kernels/gemm.h"
#include "kernels/matmul.h"

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

void LoraLinear::forward(const PassContext& context, const float* x, int64_t rows, float* inner,
                         float* y, const float* residual) const {
  if (y != nullptr) {
    Epilogue epilogue;
    if (!linear_.bias.empty()) epilogue.bias = linear_.bias.data();
    epilogue.residual = residual;
    epilogue.residual_stride = out();
    matmul(context.pool, x, rows, in(), linear_.weights, y, out(), epilogue);
  }
  if (module_ == nullptr) return;
  const float* const parameters = context.adapter.parameters().data();
  gemm(context.pool, {rows, rank(), in()}, {dropped(context, x, rows), in()},
       {parameters + module_->a, in(), true}, {inner, rank()});
  if (y == nullptr) return;
  gemm(context.pool, {rows, out(), rank()}, {inner, rank()},
       {parameters + module_->b, rank(), true}, {y, out(), module_->scale, true});
}

void LoraLinear::backward(const PassContext& context, const float* x, const float* inner,
                          const float* dy, int64_t rows, float* dx, bool add,
                          std::span<float> gradient) const {
  ThreadPool& pool = context.pool;
  matmul_transposed(pool, dy, rows, out(), linear_.weights, {dx, in(), 1.0F, add});
  if (module_ == nullptr) return;
  const float* const a = context.adapter.parameters().data() + module_->a;
  const float* const b = context.adapter.parameters().data() + module_->b;
  thread_local Scratch memory;
  float* const dinner = memory.floats(rows * rank());
  gemm(pool, {rows, rank(), out()}, {dy, out()}, {b, rank()}, {dinner, rank(), module_->scale});
  gemm(pool, {out(), rank(), rows}, {dy, out(), true}, {inner, rank()},
       {gradient.data() + module_->b, rank(), module_->scale, true});
  gemm(pool, {rank(), in(), rows}, {dinner, rank(), true}, {dropped(context, x, rows), in()},
       {gradient.data() + module_->a, in(), 1.0F, true});
  const Dropout drop = dropout(context);
  if (!drop.active()) {
    return gemm(pool, {rows, in(), rank()}, {dinner, rank()}, {a, in()}, {dx, in(), 1.0F, true});
  }
  float* const through = context.scratch.floats(rows * in());
  gemm(pool, {rows, in(), rank()}, {dinner, rank()}, {a, in()}, {through, in()});
  drop.backward(pool, through, rows * in(), dx);
}

}  // namespace fastvlm
