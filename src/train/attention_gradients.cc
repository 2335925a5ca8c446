// SPDX-License-Identifier: Apache-2.0
#include "train/attention_gradients.h"

#include <algorithm>
#include <cmath>

#include "kernels/gemm.h"

namespace fastvlm {
namespace {

constexpr int64_t kQueries = 64;  // a block

struct Pass {
  const AttentionShape& shape;
  const AttentionRows& rows;
  const float* dout;
  float* dq;
  float* dk;  // [heads, rows, head_dim]: each query head its own
  float* dv;

  int64_t q_stride() const { return shape.heads * shape.head_dim; }
  int64_t kv_stride() const { return shape.kv_heads * shape.head_dim; }
};

// row[0 .. count) becomes softmax(row), and the rest of it zero.
void softmax(float* row, int64_t count, int64_t width) {
  const float maximum = *std::max_element(row, row + count);
  double total = 0;
  for (int64_t i = 0; i < count; ++i) {
    row[i] = std::exp(row[i] - maximum);
    total += static_cast<double>(row[i]);
  }
  const auto inverse = static_cast<float>(1 / total);
  for (int64_t i = 0; i < count; ++i) row[i] *= inverse;
  std::fill(row + count, row + width, 0.0F);
}

// dp becomes the gradient by the scores: p * (dp - p . dp).
void softmax_backward(const float* p, int64_t width, float* dp) {
  double product = 0;
  for (int64_t i = 0; i < width; ++i) {
    product += static_cast<double>(p[i]) * static_cast<double>(dp[i]);
  }
  const auto mean = static_cast<float>(product);
  for (int64_t i = 0; i < width; ++i) dp[i] = p[i] * (dp[i] - mean);
}

// Queries [begin, begin + count) of one head, which see the keys up to their own.
void block_backward(const Pass& pass, int64_t head, int64_t begin, int64_t count) {
  thread_local Scratch scratch;
  const AttentionShape& shape = pass.shape;
  const int64_t dim = shape.head_dim;
  const int64_t keys = begin + count;
  const int64_t kv = head / (shape.heads / shape.kv_heads) * dim;
  const int64_t at = begin * pass.q_stride() + head * dim;
  const Factor q{pass.rows.q + at, pass.q_stride()};
  const Factor k{pass.rows.k + kv, pass.kv_stride()};
  const Factor dout{pass.dout + at, pass.q_stride()};
  float* const p = scratch.floats(2 * count * keys);
  float* const ds = p + count * keys;
  gemm_alone({count, keys, dim}, q, {k.data, k.stride, true}, {p, keys, shape.scale});
  gemm_alone({count, keys, dim}, dout, {pass.rows.v + kv, pass.kv_stride(), true}, {ds, keys});
  for (int64_t r = 0; r < count; ++r) {
    softmax(p + r * keys, begin + r + 1, keys);
    softmax_backward(p + r * keys, keys, ds + r * keys);
  }
  const int64_t own = head * shape.keys * dim;
  gemm_alone({count, dim, keys}, {ds, keys}, k, {pass.dq + at, pass.q_stride(), shape.scale});
  gemm_alone({keys, dim, count}, {ds, keys, true}, q, {pass.dk + own, dim, shape.scale, true});
  gemm_alone({keys, dim, count}, {p, keys, true}, dout, {pass.dv + own, dim, 1.0F, true});
}

// out [rows, kv_heads * head_dim] = the sums of the query heads that share a key head.
void sum_heads(ThreadPool& pool, const AttentionShape& shape, const float* heads, float* out) {
  const int64_t dim = shape.head_dim;
  const int64_t group = shape.heads / shape.kv_heads;
  pool.parallel_for(shape.keys, 16, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < shape.kv_heads * dim; ++i) {
        float sum = 0;
        for (int64_t h = i / dim * group; h < (i / dim + 1) * group; ++h) {
          sum += heads[(h * shape.keys + r) * dim + i % dim];
        }
        out[r * shape.kv_heads * dim + i] = sum;
      }
    }
  });
}

}  // namespace

void attention_backward(ThreadPool& pool, const AttentionShape& shape, const AttentionRows& rows,
                        const float* dout, const AttentionGradients& gradients, Scratch& scratch) {
  const int64_t size = shape.heads * shape.keys * shape.head_dim;
  float* const dk = scratch.floats(2 * size);
  const Pass pass{shape, rows, dout, gradients.q, dk, dk + size};
  pool.for_each(shape.heads, [&](int64_t head) {
    const int64_t own = shape.keys * shape.head_dim;
    std::fill_n(pass.dk + head * own, own, 0.0F);
    std::fill_n(pass.dv + head * own, own, 0.0F);
    for (int64_t begin = 0; begin < shape.queries; begin += kQueries) {
      block_backward(pass, head, begin, std::min(kQueries, shape.queries - begin));
    }
  });
  sum_heads(pool, shape, pass.dk, gradients.k);
  sum_heads(pool, shape, pass.dv, gradients.v);
}

}  // namespace fastvlm
