// SPDX-License-Identifier: Apache-2.0
#include "train/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/gemm.h"

namespace fastvlm {
namespace {

constexpr int64_t kSlice = 8192;  // ids: 8 MB of logits for 256 rows

// What the softmax of a row needs, gathered slice by slice.
struct RowSum {
  float maximum = -std::numeric_limits<float>::infinity();
  double total = 0;  // of exp(logit - maximum)
  float wanted = 0;  // the logit of the id that is to follow

  double loss() const {
    return std::log(total) - (static_cast<double>(wanted) - static_cast<double>(maximum));
  }
};

// A slice of the vocabulary and the logits of its ids, [rows, end - begin].
struct Slice {
  int64_t begin;
  int64_t end;
  float* logits;

  int64_t width() const { return end - begin; }
  float* row(int64_t r) const { return logits + r * width(); }
  bool holds(int32_t id) const { return id >= begin && id < end; }
};

void add_slice(const Slice& slice, int64_t r, int32_t id, RowSum& sum) {
  const float* const row = slice.row(r);
  const float maximum = std::max(sum.maximum, *std::max_element(row, row + slice.width()));
  double total = 0;
  for (int64_t i = 0; i < slice.width(); ++i) {
    total += static_cast<double>(std::exp(row[i] - maximum));
  }
  sum.total = sum.total * std::exp(static_cast<double>(sum.maximum) - static_cast<double>(maximum));
  sum.total += total;
  sum.maximum = maximum;
  if (slice.holds(id)) sum.wanted = row[id - slice.begin];
}

// The row's logits become `weight` times the gradient by them.
void to_gradient(const Slice& slice, int64_t r, int32_t id, const RowSum& sum, float weight) {
  float* const row = slice.row(r);
  const auto scale = static_cast<float>(static_cast<double>(weight) / sum.total);
  for (int64_t i = 0; i < slice.width(); ++i) row[i] = scale * std::exp(row[i] - sum.maximum);
  if (slice.holds(id)) row[id - slice.begin] -= weight;
}

}  // namespace

double cross_entropy(ThreadPool& pool, const Matrix& head, const float* h,
                     std::span<const int32_t> ids, float weight, Arithmetic arithmetic, float* dh,
                     Scratch& scratch) {
  const int64_t hidden = head.cols();
  const int64_t vocabulary = head.rows();
  const auto rows = static_cast<int64_t>(ids.size());
  float* const logits = scratch.floats(rows * std::min(kSlice, vocabulary));
  std::vector<RowSum> sums(ids.size());
  // Computes the logits slice by slice and calls each(slice, row) for all rows, then done(slice).
  const auto for_each_slice = [&](const auto& each, const auto& done) {
    for (int64_t begin = 0; begin < vocabulary; begin += kSlice) {
      const Slice slice{begin, std::min(begin + kSlice, vocabulary), logits};
      gemm(pool, h, rows, hidden, {head, slice.begin, slice.end}, Way::kForward,
           {logits, slice.width()}, arithmetic);
      pool.parallel_for(rows, 1, [&](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; ++r) each(slice, r);
      });
      done(slice);
    }
  };
  for_each_slice(
      [&](const Slice& slice, int64_t r) {
        const auto at = static_cast<size_t>(r);
        add_slice(slice, r, ids[at], sums[at]);
      },
      [](const Slice&) {});
  double loss = 0;
  for (const RowSum& sum : sums) loss += sum.loss();
  if (dh == nullptr) return loss;
  for_each_slice(
      [&](const Slice& slice, int64_t r) {
        const auto at = static_cast<size_t>(r);
        to_gradient(slice, r, ids[at], sums[at], weight);
      },
      [&](const Slice& slice) {
        gemm(pool, logits, rows, slice.width(), {head, slice.begin, slice.end}, Way::kBack,
             {dh, hidden, 1.0F, slice.begin > 0}, arithmetic);
      });
  return loss;
}

}  // namespace fastvlm
