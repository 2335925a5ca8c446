// SPDX-License-Identifier: Apache-2.0
#include "language/answer_logits.h"

#include <algorithm>

#include "base/stopwatch.h"

namespace fastvlm {

AnswerLogits::AnswerLogits(const Qwen2& model, KvCache& cache, std::span<const float> prompt_rows,
                           int64_t max_tokens, Drafter* drafter, Compute compute)
    : model_(model),
      cache_(cache),
      prompt_rows_(prompt_rows),
      max_tokens_(static_cast<size_t>(max_tokens)),
      drafter_(model.rows_are_independent() ? drafter : nullptr),
      compute_(compute) {}

Status AnswerLogits::start() {
  FASTVLM_RETURN_IF_ERROR(run(prompt_rows_, 1));
  prompt_length_ = cache_.length();
  return {};
}

size_t AnswerLogits::in_common(std::span<const int32_t> ids) const {
  const auto end = std::mismatch(ids.begin(), ids.end(), ids_.begin(), ids_.end()).first;
  return static_cast<size_t>(end - ids.begin());
}

// Tells the drafter which of its guesses the answer has.
void AnswerLogits::verify(std::span<const int32_t> ids) {
  while (settled_ < std::min(ids_.size(), ids.size())) {
    const bool right = ids_[settled_] == ids[settled_];
    drafter_->verified(right);
    if (!right) return;
    ++settled_;
    ++counts_.accepted;
  }
}

// The logits behind the first `length` of ids_. They are the caller's now, who may change them.
std::span<float> AnswerLogits::take_row(size_t length) {
  const auto vocab = static_cast<size_t>(model_.config().vocab_size);
  const size_t row = outputs_ - 1 - (ids_.size() - length);
  first_ = length + 1;
  return std::span(logits_).subspan(row * vocab, vocab);
}

Result<std::span<float>> AnswerLogits::behind(std::span<const int32_t> ids) {
  if (drafter_ != nullptr) verify(ids);
  const size_t common = in_common(ids);
  if (common == ids.size() && common >= first_) return take_row(common);

  const auto hidden = static_cast<size_t>(model_.config().hidden_size);
  const size_t kept = std::min(common, ids.size() - std::min<size_t>(ids.size(), 1));
  ids_.resize(kept);
  cache_.truncate(prompt_length_ + static_cast<int64_t>(kept) - (ids.empty() ? 1 : 0));
  if (ids.empty()) {  // the prompt's last row once more
    settled_ = 0;
    FASTVLM_RETURN_IF_ERROR(run(prompt_rows_.last(hidden), 1));
    return take_row(0);
  }
  ids_.insert(ids_.end(), ids.begin() + static_cast<std::ptrdiff_t>(kept), ids.end());
  settled_ = ids_.size();
  const std::vector<int32_t> drafted = draft(ids, ids_.size() - kept);
  ids_.insert(ids_.end(), drafted.begin(), drafted.end());
  const auto rest = std::span(ids_).subspan(kept);
  rows_.resize(rest.size() * hidden);
  FASTVLM_RETURN_IF_ERROR(model_.embed(rest, rows_.data()));
  const Stopwatch watch;
  FASTVLM_RETURN_IF_ERROR(run(rows_, 1 + drafted.size()));
  if (drafter_ != nullptr) drafter_->passed(rest.size(), watch.seconds());
  ++counts_.passes;
  return take_row(ids.size());
}

std::vector<int32_t> AnswerLogits::draft(std::span<const int32_t> ids, size_t rows) {
  // Behind the last id of the longest answer no logits are wanted.
  if (drafter_ == nullptr || ids.size() + 1 >= max_tokens_) return {};
  std::vector<int32_t> drafted = drafter_->draft(ids, max_tokens_ - 1 - ids.size(), rows);
  const auto foreign = std::find_if(drafted.begin(), drafted.end(), [&](int32_t id) {
    return id < 0 || id >= model_.config().vocab_size;
  });
  drafted.erase(foreign, drafted.end());
  counts_.drafted += static_cast<int64_t>(drafted.size());
  return drafted;
}

// Appends `rows` to the cache; logits_ become those of the last `outputs` of them.
Status AnswerLogits::run(std::span<const float> rows, size_t outputs) {
  const auto count = static_cast<int64_t>(rows.size()) / model_.config().hidden_size;
  const size_t needed = outputs * static_cast<size_t>(model_.config().vocab_size);
  if (logits_.size() < needed) logits_.resize(needed);  // never smaller: growing clears
  outputs_ = outputs;
  return compute_.forward(model_, cache_, rows.data(), count, static_cast<int64_t>(outputs),
                          logits_.data());
}

void AnswerLogits::keep_only(std::span<const int32_t> ids) {
  if (drafter_ != nullptr) verify(ids);
  ids_.resize(in_common(ids));
  cache_.truncate(prompt_length_ + static_cast<int64_t>(ids_.size()));
  settled_ = std::min(settled_, ids_.size());
  first_ = ids_.size() + 1;  // whatever comes next is run anew
}

}  // namespace fastvlm
