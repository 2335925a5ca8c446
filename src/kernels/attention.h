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

// Keys and values in the layout that attention reads: put there once, as they come. Borrows its
// memory, key_floats() and value_floats() floats, which nobody needs to clear.
struct KeyValues {
  float* keys = nullptr;    // [kv_heads, panels of 16 rows, head_dim, 16]
  float* values = nullptr;  // [kv_heads, panels of 16 elements, capacity, 16]
  int64_t capacity = 0;     // rows
  int64_t kv_heads = 0;
  int64_t head_dim = 0;

  int64_t key_floats() const;
  int64_t value_floats() const;

  // Rows [first, first + count) become those of k and v [count, kv_heads * head_dim].
  void store(int64_t first, int64_t count, const float* k, int64_t k_stride, const float* v,
             int64_t v_stride) const;
  // Rows [begin, end) become those of `other`, which has the same heads.
  void copy_from(const KeyValues& other, int64_t begin, int64_t end) const;
};

// Rows of q and out are [heads * head_dim], `*_stride` floats apart; the keys and values are the
// first shape.keys rows of `memory`.
void attention(ThreadPool& pool, const AttentionShape& shape, const float* q, int64_t q_stride,
               const KeyValues& memory, float* out, int64_t out_stride);

// The same for rows of k and v [kv_heads * head_dim].
void attention(ThreadPool& pool, const AttentionShape& shape, const float* q, int64_t q_stride,
               const float* k, int64_t k_stride, const float* v, int64_t v_stride, float* out,
               int64_t out_stride);

}  // namespace fastvlm
