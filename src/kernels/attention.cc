// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// The scores of kQueries x kKeys (64 KB) and the keys' and values' panels stay in the second-level
// cache. A block of keys updates the running maximum and sum of every query once.
constexpr int64_t kQueries = 64;
constexpr int64_t kKeys = 256;
// The query heads of one token read keys and values once, and faster panel by panel.
constexpr int64_t kFewRows = 16;
constexpr float kNever = -std::numeric_limits<float>::infinity();

struct Inputs {
  const AttentionShape& shape;
  const float* q;
  int64_t q_stride;
  const KeyValues& memory;
  float* out;
  int64_t out_stride;
};

struct Workspace {
  Scratch queries, scores, sums;
};

Workspace& workspace() {
  thread_local Workspace space;
  return space;
}

// Rows [begin, end) of one key head. Its rows are the query heads that share it, query by query:
// row i is head kv_head * group + i % group of query i / group.
class Block {
 public:
  Block(const Inputs& in, int64_t kv_head, int64_t begin, int64_t end)
      : in_(in),
        dim_(in.shape.head_dim),
        group_(in.shape.heads / in.shape.kv_heads),
        padded_(panels_of(dim_) * kPanel),
        kv_head_(kv_head),
        begin_(begin),
        rows_(end - begin),
        most_panels_(rows_ > kFewRows ? kernels().most_panels : 1),
        queries_(workspace().queries.floats(rows_ * dim_)),
        scores_(workspace().scores.floats(rows_ * kKeys)),
        sums_(workspace().sums.floats(rows_ * padded_)) {}

  void attend() {
    start();
    const int64_t visible = seen_by(rows_ - 1);
    for (int64_t key = 0; key < visible; key += kKeys) {
      const int64_t count = std::min(kKeys, visible - key);
      score(key, count);
      for (int64_t r = 0; r < rows_; ++r) weigh(r, key, count);
      add_values(key, count);
    }
    finish();
  }

 private:
  int64_t offset_of(int64_t row, int64_t stride) const {
    const int64_t i = begin_ + row;
    return i / group_ * stride + (kv_head_ * group_ + i % group_) * dim_;
  }
  int64_t seen_by(int64_t row) const {
    const AttentionShape& shape = in_.shape;
    return shape.causal ? shape.keys - shape.queries + (begin_ + row) / group_ + 1 : shape.keys;
  }

  void start() {
    for (int64_t r = 0; r < rows_; ++r) {
      const float* q = in_.q + offset_of(r, in_.q_stride);
      for (int64_t d = 0; d < dim_; ++d) queries_[r * dim_ + d] = q[d] * in_.shape.scale;
      maxima_[r] = kNever;
      totals_[r] = 0.0F;
    }
    std::fill(sums_, sums_ + rows_ * padded_, 0.0F);
  }

  // scores[r, i] = query r times key `first` + i; those past `count` mean nothing.
  void score(int64_t first, int64_t count) {
    PanelProduct product;
    product.a = queries_;
    product.a_stride = dim_;
    product.rows = rows_;
    product.depth = dim_;
    product.last = false;
    product.b_panel = kPanel * dim_;
    product.sums_stride = kKeys;
    product.sums_panel = kPanel;
    const int64_t panels = panels_of(in_.memory.capacity);
    for (int64_t key = 0; key < count; key += most_panels_ * kPanel) {
      product.b = in_.memory.keys + (kv_head_ * panels + (first + key) / kPanel) * kPanel * dim_;
      product.panels = std::min(most_panels_, panels_of(count - key));
      product.sums = scores_ + key;
      kernels().panel_product(product);
    }
  }

  // Scores become weights relative to the row's maximum so far; unseen keys weigh nothing.
  void weigh(int64_t r, int64_t first, int64_t count) {
    float* const row = scores_ + r * kKeys;
    const int64_t seen = std::clamp<int64_t>(seen_by(r) - first, 0, count);
    std::fill(row + seen, row + count, 0.0F);
    if (seen == 0) return;
    const float maximum = std::max(maxima_[r], kernels().maximum(row, seen));
    const float correction = std::exp(maxima_[r] - maximum);
    totals_[r] = totals_[r] * correction + kernels().exponentials(row, seen, maximum);
    maxima_[r] = maximum;
    for (int64_t d = 0; d < padded_; ++d) sums_[r * padded_ + d] *= correction;
  }

  void add_values(int64_t first, int64_t count) {
    PanelProduct product;
    product.a = scores_;
    product.a_stride = kKeys;
    product.rows = rows_;
    product.depth = count;
    product.first = false;
    product.last = false;
    const int64_t capacity = in_.memory.capacity;
    product.b_panel = kPanel * capacity;
    product.sums_stride = padded_;
    product.sums_panel = kPanel;
    for (int64_t d = 0; d < padded_; d += most_panels_ * kPanel) {
      product.b = in_.memory.values + (kv_head_ * padded_ + d) * capacity + first * kPanel;
      product.panels = std::min(most_panels_, (padded_ - d) / kPanel);
      product.sums = sums_ + d;
      kernels().panel_product(product);
    }
  }

  void finish() {
    for (int64_t r = 0; r < rows_; ++r) {
      float* const out = in_.out + offset_of(r, in_.out_stride);
      for (int64_t d = 0; d < dim_; ++d) out[d] = sums_[r * padded_ + d] / totals_[r];
    }
  }

  const Inputs& in_;
  const int64_t dim_, group_, padded_, kv_head_, begin_, rows_, most_panels_;
  float* const queries_;  // [rows, dim], scaled
  float* const scores_;   // [rows, kKeys]
  float* const sums_;     // [rows, padded]
  float maxima_[kQueries];
  float totals_[kQueries];
};

}  // namespace

int64_t KeyValues::key_floats() const {
  return kv_heads * panels_of(capacity) * kPanel * head_dim;
}

int64_t KeyValues::value_floats() const {
  return kv_heads * panels_of(head_dim) * kPanel * capacity;
}

void KeyValues::store(int64_t first, int64_t count, const float* k, int64_t k_stride,
                      const float* v, int64_t v_stride) const {
  for (int64_t i = 0; i < count; ++i, k += k_stride, v += v_stride) {
    const int64_t row = first + i;
    for (int64_t h = 0; h < kv_heads; ++h) {
      const int64_t panel = h * panels_of(capacity) + row / kPanel;
      float* const key = keys + panel * kPanel * head_dim + row % kPanel;
      for (int64_t d = 0; d < head_dim; ++d) key[d * kPanel] = k[h * head_dim + d];
      for (int64_t d = 0; d < head_dim; d += kPanel) {
        const int64_t width = std::min(kPanel, head_dim - d);
        float* const value =
            values + ((h * panels_of(head_dim) + d / kPanel) * capacity + row) * kPanel;
        std::copy_n(v + h * head_dim + d, width, value);
        std::fill(value + width, value + kPanel, 0.0F);
      }
    }
  }
}

void KeyValues::copy_from(const KeyValues& other, int64_t begin, int64_t end) const {
  if (begin >= end) return;
  const int64_t first = begin / kPanel;  // its rows before `begin` are copied, too
  for (int64_t h = 0; h < kv_heads; ++h) {
    std::copy_n(other.keys + (h * panels_of(other.capacity) + first) * kPanel * head_dim,
                (panels_of(end) - first) * kPanel * head_dim,
                keys + (h * panels_of(capacity) + first) * kPanel * head_dim);
  }
  for (int64_t p = 0; p < kv_heads * panels_of(head_dim); ++p) {
    std::copy_n(other.values + (p * other.capacity + begin) * kPanel, (end - begin) * kPanel,
                values + (p * capacity + begin) * kPanel);
  }
}

void attention(ThreadPool& pool, const AttentionShape& shape, const float* q, int64_t q_stride,
               const KeyValues& memory, float* out, int64_t out_stride) {
  const Inputs in{shape, q, q_stride, memory, out, out_stride};
  const int64_t rows = shape.queries * (shape.heads / shape.kv_heads);
  const int64_t blocks = (rows + kQueries - 1) / kQueries;
  pool.for_each(blocks * shape.kv_heads, [&](int64_t i) {
    const int64_t begin = i % blocks * kQueries;
    Block(in, i / blocks, begin, std::min(begin + kQueries, rows)).attend();
  });
}

void attention(ThreadPool& pool, const AttentionShape& shape, const float* q, int64_t q_stride,
               const float* k, int64_t k_stride, const float* v, int64_t v_stride, float* out,
               int64_t out_stride) {
  thread_local Scratch scratch;
  KeyValues memory{nullptr, nullptr, shape.keys, shape.kv_heads, shape.head_dim};
  memory.keys = scratch.floats(memory.key_floats() + memory.value_floats());
  memory.values = memory.keys + memory.key_floats();
  pool.parallel_for(shape.keys, kPanel, [&](int64_t begin, int64_t end) {
    memory.store(begin, end - begin, k + begin * k_stride, k_stride, v + begin * v_stride,
                 v_stride);
  });
  attention(pool, shape, q, q_stride, memory, out, out_stride);
}

}  // namespace fastvlm
