// SPDX-License-Identifier: Apache-2.0
// Products with a DotMatrix: the same two functions as matmul.h, at bf16 or int8. Activations come
// and go as f32. At bf16 they are rounded to the nearest; at int8 each row is quantised anew, with
// a scale and an offset of its own for every 128 columns, so that nothing has to be calibrated.
// GELU is within 3e-6 + 1e-6 |x| of the exact one, SiLU within 7e-5 |x|. The result does not depend
// on the number of threads.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"
#include "kernels/dot_matrix.h"
#include "kernels/matmul.h"

namespace fastvlm {

// y = epilogue(x W^T), as matmul.h says.
void matmul(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const DotMatrix& w,
            float* y, int64_t y_stride, const Epilogue& epilogue = {});

// y = epilogue(fc2(gelu(fc1(x) + fc1_bias))), both of one arithmetic. The expanded activations of
// a tile of rows exist as bf16 or int8 only, in the second-level cache. `y` must not overlap `x`.
void mlp(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride, const DotMatrix& fc1,
         const float* fc1_bias, const DotMatrix& fc2, float* y, int64_t y_stride,
         const Epilogue& epilogue = {});

}  // namespace fastvlm
