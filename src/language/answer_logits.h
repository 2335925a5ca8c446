// SPDX-License-Identifier: Apache-2.0
// The logits behind each id of an answer as it grows and shrinks. What is not in the cache yet is
// run in one pass, and with it a draft of what may come next: where the answer then goes on as
// drafted, its logits are there already. Whoever asks gets the same numbers with and without
// drafts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "language/compute.h"
#include "language/drafter.h"
#include "language/kv_cache.h"
#include "language/qwen2.h"

namespace fastvlm {

class AnswerLogits {
 public:
  // Of an answer of at most `max_tokens` to prompt_rows [n, hidden_size], which continue what the
  // cache holds; it has room for all. A drafter is listened to where the model's rows are
  // independent (Qwen2::rows_are_independent): elsewhere a draft might change a number. All
  // arguments must outlive this.
  AnswerLogits(const Qwen2& model, KvCache& cache, std::span<const float> prompt_rows,
               int64_t max_tokens, Drafter* drafter, Compute compute);

  // Runs the prompt. Comes first, once.
  Status start();

  // The logits [vocab_size] behind `ids`, the answer so far: the caller may change them.
  Result<std::span<float>> behind(std::span<const int32_t> ids);

  // The cache forgets what is not of `ids`.
  void keep_only(std::span<const int32_t> ids);

  const DraftCounts& counts() const { return counts_; }

 private:
  size_t in_common(std::span<const int32_t> ids) const;
  void verify(std::span<const int32_t> ids);
  std::span<float> take_row(size_t length);
  std::vector<int32_t> draft(std::span<const int32_t> ids, size_t rows);
  Status run(std::span<const float> rows, size_t outputs);

  const Qwen2& model_;
  KvCache& cache_;
  std::span<const float> prompt_rows_;
  size_t max_tokens_;
  Drafter* drafter_;
  Compute compute_;
  int64_t prompt_length_ = 0;  // rows of the cache before the answer
  std::vector<int32_t> ids_;   // that the cache holds behind the prompt
  size_t settled_ = 0;         // of ids_ that were no drafts, or were found right
  size_t first_ = 0;           // logits_ begin behind so many of ids_; those before are not known
  size_t outputs_ = 0;         // rows of logits_ that mean something, the last behind all of ids_
  std::vector<float> logits_;  // [outputs_ or more, vocab_size]
  std::vector<float> rows_;
  DraftCounts counts_;
};

}  // namespace fastvlm
