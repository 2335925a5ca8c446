// SPDX-License-Identifier: Apache-2.0
#include "train/cross_entropy.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/gemm.h"

namespace fastvlm {
namespace {

constexpr int64_t kRows = 64;  // a chunk: 39 MB of logits for Qwen2's vocabulary

// The loss of one row of logits, which become `weight` times its gradient.
double row_loss(float* logits, int64_t count, int32_t id, float weight) {
  const float maximum = *std::max_element(logits, logits + count);
  const float wanted = logits[id];
  double total = 0;
  for (int64_t i = 0; i < count; ++i) {
    logits[i] = std::exp(logits[i] - maximum);
    total += static_cast<double>(logits[i]);
  }
  const auto scale = static_cast<float>(static_cast<double>(weight) / total);
  for (int64_t i = 0; i < count; ++i) logits[i] *= scale;
  logits[id] -= weight;
  return std::log(total) - (static_cast<double>(wanted) - static_cast<double>(maximum));
}

}  // namespace

double cross_entropy(ThreadPool& pool, const Matrix& head, const float* h,
                     std::span<const int32_t> ids, float weight, Arithmetic arithmetic, float* dh,
                     Scratch& scratch) {
  const int64_t hidden = head.cols();
  const int64_t vocabulary = head.rows();
  const auto rows = static_cast<int64_t>(ids.size());
  float* const logits = scratch.floats(std::min(rows, kRows) * vocabulary);
  std::vector<double> losses(ids.size());
  for (int64_t row = 0; row < rows; row += kRows) {
    const int64_t count = std::min(kRows, rows - row);
    gemm(pool, h + row * hidden, count, hidden, head, Way::kForward, {logits, vocabulary},
         arithmetic);
    pool.parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const auto at = static_cast<size_t>(row + r);
        losses[at] = row_loss(logits + r * vocabulary, vocabulary, ids[at], weight);
      }
    });
    if (dh == nullptr) continue;
    gemm(pool, logits, count, vocabulary, head, Way::kBack, {dh + row * hidden, hidden},
         arithmetic);
  }
  double sum = 0;
  for (const double loss : losses) sum += loss;
  return sum;
}

}  // namespace fastvlm
