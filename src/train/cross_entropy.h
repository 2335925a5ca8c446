// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "base/thread_pool.h"
#include "kernels/matrix.h"
#include "kernels/precision.h"
#include "kernels/scratch.h"

namespace fastvlm {

// The sum over rows of -log softmax(h head^T)[id], for h [ids.size(), hidden] and the ids that are
// to follow. Where `dh` is given, it becomes `weight` times the gradient by h. A slice of the
// vocabulary at a time, so that [rows, vocabulary] never exists: logits are computed once for the
// loss and once more for the gradient. `scratch` keeps memory from call to call.
double cross_entropy(ThreadPool& pool, const Matrix& head, const float* h,
                     std::span<const int32_t> ids, float weight, Arithmetic arithmetic, float* dh,
                     Scratch& scratch);

}  // namespace fastvlm
