// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// The scores of kQueries x kKeys (64 KB) and the keys' and values' panels stay in the second-level
// cache. A block of keys updates the running maximum and sum of every query once.
constexpr int64_t kQueries = 64;
constexpr int64_t kKeys = 256;
constexpr float kNever = -std::numeric_limits<float>::infinity();

struct Inputs {
  const AttentionShape& shape;
  const float *q, *k, *v;
  int64_t q_stride, k_stride, v_stride;
  float* out;
  int64_t out_stride;

  int64_t heads_a_group() const { return shape.heads / shape.kv_heads; }
};

// Rows of a block: the query heads that share a key head, query by query. Row i of key head j is
// head j * heads_a_group + i % heads_a_group of query i / heads_a_group.
struct Block {
  int64_t kv_head, begin, end;
};

struct Workspace {
  Scratch queries, keys, values, scores, sums;
};

Workspace& workspace() {
  thread_local Workspace space;
  return space;
}

// Keys [begin, end) of one head, 16 to a panel of [head_dim, 16].
void pack_keys(const float* k, int64_t stride, int64_t dim, int64_t begin, int64_t end,
               float* panels) {
  for (int64_t key = begin; key < end; ++key) {
    float* out = panels + (key - begin) / kPanel * kPanel * dim + (key - begin) % kPanel;
    for (int64_t d = 0; d < dim; ++d) out[d * kPanel] = k[key * stride + d];
  }
}

// Values [begin, end) of one head: panel p holds elements 16 p .. 16 p + 15, [end - begin, 16].
void pack_values(const float* v, int64_t stride, int64_t dim, int64_t begin, int64_t end,
                 float* panels) {
  const int64_t count = end - begin;
  for (int64_t first = 0; first < dim; first += kPanel) {
    const int64_t width = std::min(kPanel, dim - first);
    for (int64_t i = 0; i < count; ++i) {
      float* out = panels + (first / kPanel * count + i) * kPanel;
      const float* in = v + (begin + i) * stride + first;
      std::copy(in, in + width, out);
      std::fill(out + width, out + kPanel, 0.0F);
    }
  }
}

void attend(const Inputs& in, const Block& block) {
  const KernelTable& table = kernels();
  const AttentionShape& shape = in.shape;
  const int64_t dim = shape.head_dim;
  const int64_t group = in.heads_a_group();
  const int64_t rows = block.end - block.begin;
  const int64_t padded = panels_of(dim) * kPanel;
  const auto offset_of = [&](int64_t row, int64_t stride) {
    return row / group * stride + (block.kv_head * group + row % group) * dim;
  };
  const auto keys_of = [&](int64_t row) {
    return shape.causal ? shape.keys - shape.queries + row / group + 1 : shape.keys;
  };

  Workspace& space = workspace();
  float* const queries = space.queries.floats(rows * dim);
  float* const keys = space.keys.floats(kKeys * dim);
  float* const values = space.values.floats(kKeys * padded);
  float* const scores = space.scores.floats(rows * kKeys);
  float* const sums = space.sums.floats(rows * padded);
  float maxima[kQueries];
  float totals[kQueries];
  for (int64_t r = 0; r < rows; ++r) {
    const float* q = in.q + offset_of(block.begin + r, in.q_stride);
    for (int64_t d = 0; d < dim; ++d) queries[r * dim + d] = q[d] * shape.scale;
    maxima[r] = kNever;
    totals[r] = 0.0F;
  }
  std::fill(sums, sums + rows * padded, 0.0F);

  const int64_t visible = keys_of(block.end - 1);
  for (int64_t begin = 0; begin < visible; begin += kKeys) {
    const int64_t count = std::min(kKeys, visible - begin);
    pack_keys(in.k + block.kv_head * dim, in.k_stride, dim, begin, begin + count, keys);
    pack_values(in.v + block.kv_head * dim, in.v_stride, dim, begin, begin + count, values);
    PanelProduct product;
    product.a = queries;
    product.a_stride = dim;
    product.rows = rows;
    product.depth = dim;
    product.last = false;
    product.sums_stride = kKeys;
    for (int64_t key = 0; key < count; key += kPanel) {
      product.b = keys + key * dim;
      product.sums = scores + key;
      table.panel_product(product);
    }
    for (int64_t r = 0; r < rows; ++r) {
      float* const row = scores + r * kKeys;
      const int64_t seen = std::clamp<int64_t>(keys_of(block.begin + r) - begin, 0, count);
      std::fill(row + seen, row + count, 0.0F);
      if (seen == 0) continue;
      const float maximum = std::max(maxima[r], table.maximum(row, seen));
      const float correction = std::exp(maxima[r] - maximum);
      totals[r] = totals[r] * correction + table.exponentials(row, seen, maximum);
      maxima[r] = maximum;
      for (int64_t d = 0; d < padded; ++d) sums[r * padded + d] *= correction;
    }
    product.a = scores;
    product.a_stride = kKeys;
    product.depth = count;
    product.first = false;
    product.sums_stride = padded;
    for (int64_t d = 0; d < padded; d += kPanel) {
      product.b = values + d * count;
      product.sums = sums + d;
      table.panel_product(product);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    float* const out = in.out + offset_of(block.begin + r, in.out_stride);
    for (int64_t d = 0; d < dim; ++d) out[d] = sums[r * padded + d] / totals[r];
  }
}

}  // namespace

void attention(ThreadPool& pool, const AttentionShape& shape, const float* q, int64_t q_stride,
               const float* k, int64_t k_stride, const float* v, int64_t v_stride, float* out,
               int64_t out_stride) {
  const Inputs in{shape, q, k, v, q_stride, k_stride, v_stride, out, out_stride};
  const int64_t rows = shape.queries * in.heads_a_group();
  const int64_t blocks = (rows + kQueries - 1) / kQueries;
  std::atomic<int64_t> next{0};
  pool.run([&](int) {
    for (int64_t i = next++; i < blocks * shape.kv_heads; i = next++) {
      const int64_t begin = i % blocks * kQueries;
      attend(in, {i / blocks, begin, std::min(begin + kQueries, rows)});
    }
  });
}

}  // namespace fastvlm
