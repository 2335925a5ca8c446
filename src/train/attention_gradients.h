// SPDX-License-Identifier: Apache-2.0
// Causal attention on the way back. The weights are computed again from queries and keys, block by
// block, so that [queries, keys] never exists as a whole.
#pragma once

#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "kernels/scratch.h"

namespace fastvlm {

// Rows of queries [heads * head_dim], keys and values [kv_heads * head_dim], one after the other.
struct AttentionRows {
  const float* q = nullptr;
  const float* k = nullptr;
  const float* v = nullptr;
};
struct AttentionGradients {
  float* q = nullptr;
  float* k = nullptr;
  float* v = nullptr;
};

// The gradients by queries, keys and values, given that by the output [rows, heads * head_dim] of
// attention() with this shape, which is causal and has as many keys as queries. `scratch` keeps
// memory of 2 * rows * heads * head_dim floats from call to call.
void attention_backward(ThreadPool& pool, const AttentionShape& shape, const AttentionRows& rows,
                        const float* dout, const AttentionGradients& gradients, Scratch& scratch);

}  // namespace fastvlm
