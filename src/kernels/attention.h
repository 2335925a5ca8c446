// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention, softmax(q k^T * scale) v, for the towers (all to all) and the
// language model (causal, grouped queries). The scores [queries, keys] never exist as a whole.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"

namespace fastvlm {

struct AttentionShape {
  int64_t queries = 0;
  int64_t keys = 0;
  int64_t heads = 0;  // of queries
  int64_t kv_heads =
      0;  // divides heads; key head j serves query heads j * heads / kv_heads and following
  int64_t head_dim = 0;
  float scale = 1.0F;
  bool causal = false;  // query i sees keys 0 .. keys - queries + i
};

// Rows of q and out are [heads * head_dim], rows of k and v [kv_heads * head_dim], `*_stride`
// floats apart.
void attention(ThreadPool& pool, const AttentionShape& shape, const float* q, int64_t q_stride,
               const float* k, int64_t k_stride, const float* v, int64_t v_stride, float* out,
               int64_t out_stride);

}  // namespace fastvlm
