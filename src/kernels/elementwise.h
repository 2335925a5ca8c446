// SPDX-License-Identifier: Apache-2.0
// Norms, rotary embedding and gates over rows of f32 features. Rows are contiguous unless a stride
// is given.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"

namespace fastvlm {

// y = x * rsqrt(mean(x^2) + eps) * weight, per row. `y` may be `x`.
void rms_norm(ThreadPool& pool, const float* x, int64_t rows, int64_t width, const float* weight,
              float eps, float* y);

// y = (x - mean) / sqrt(var + eps) * weight + bias, per row, biased variance. `y` may be `x`.
void layer_norm(ThreadPool& pool, const float* x, int64_t rows, int64_t width, const float* weight,
                const float* bias, float eps, float* y);

// y = x * weight + bias, per row (a BatchNorm with its statistics folded in). `y` may be `x`.
void affine(ThreadPool& pool, const float* x, int64_t rows, int64_t width, const float* weight,
            const float* bias, float* y);

// gate = silu(gate) * up, element by element.
void silu_multiply(ThreadPool& pool, float* gate, const float* up, int64_t count);

// Half-split rotary embedding ("rotate half") in place: element i of each head pairs with element i
// + head_dim / 2. Row r is rotated for position first_position + r; angle = position / theta^(2 i /
// head_dim).
void rope(ThreadPool& pool, float* x, int64_t rows, int64_t stride, int64_t heads, int64_t head_dim,
          int64_t first_position, double theta);

// What rope() turned, turned back: its gradient's way through it.
void rope_backward(ThreadPool& pool, float* x, int64_t rows, int64_t stride, int64_t heads,
                   int64_t head_dim, int64_t first_position, double theta);

// The index of the largest element, the first one among equals; some index where an element is not
// a number.
int64_t argmax(const float* x, int64_t count);

}  // namespace fastvlm
