// SPDX-License-Identifier: Apache-2.0
#include "language/guided_decoding.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/stopwatch.h"

namespace fastvlm {
namespace {

// The answer as it grows and shrinks, and how much of it the cache holds.
class GuidedAnswer {
 public:
  GuidedAnswer(const Qwen2& model, KvCache& cache, std::span<const float> prompt_rows,
               std::vector<int32_t> penalized, ThreadPool& pool)
      : model_(model),
        cache_(cache),
        prompt_rows_(prompt_rows),
        pool_(pool),
        seen_(std::move(penalized)) {}

  const std::vector<int32_t>& ids() const { return ids_; }
  // What the penalties know: ids that were penalized from the start, then those that were chosen.
  const std::vector<int32_t>& seen() const { return seen_; }

  // The prompt's logits are the first.
  Status start() {
    FASTVLM_RETURN_IF_ERROR(forward(prompt_rows_));
    prompt_length_ = cache_.length();
    return {};
  }

  void append(int32_t id, bool chosen) {
    ids_.push_back(id);
    if (!chosen) return;
    seen_.push_back(id);
    chosen_at_.push_back(ids_.size() - 1);
    logits_.clear();  // the choice changed them
  }

  void take_back_to(size_t keep) {
    ids_.resize(keep);
    while (!chosen_at_.empty() && chosen_at_.back() >= keep) {
      chosen_at_.pop_back();
      seen_.pop_back();
    }
    if (computed() > keep) {
      cache_.truncate(prompt_length_ + static_cast<int64_t>(keep));
      logits_.clear();
    }
  }

  // The logits behind the last id: all ids that the cache does not hold are run together.
  Result<std::span<float>> logits() {
    const auto hidden = static_cast<size_t>(model_.config().hidden_size);
    if (computed() == ids_.size() && logits_.empty()) {  // their last row once more
      cache_.truncate(cache_.length() - 1);
      if (ids_.empty()) FASTVLM_RETURN_IF_ERROR(forward(prompt_rows_.last(hidden)));
    }
    if (computed() < ids_.size()) {
      const auto rest = std::span(ids_).subspan(computed());
      rows_.resize(rest.size() * hidden);
      FASTVLM_RETURN_IF_ERROR(model_.embed(rest, rows_.data()));
      FASTVLM_RETURN_IF_ERROR(forward(rows_));
    }
    return std::span<float>(logits_);
  }

 private:
  size_t computed() const { return static_cast<size_t>(cache_.length() - prompt_length_); }

  Status forward(std::span<const float> rows) {
    const auto count = static_cast<int64_t>(rows.size()) / model_.config().hidden_size;
    return model_.forward(cache_, rows.data(), count, Qwen2::Logits::kLast, logits_, pool_);
  }

  const Qwen2& model_;
  KvCache& cache_;
  std::span<const float> prompt_rows_;
  ThreadPool& pool_;
  int64_t prompt_length_ = 0;  // rows of the cache before the answer
  std::vector<int32_t> ids_;
  std::vector<int32_t> seen_;
  std::vector<size_t> chosen_at_;  // where in ids_ those stand that the model chose
  std::vector<float> rows_;
  std::vector<float> logits_;  // behind the last row of the cache; empty: not known
};

void forbid_others(std::span<float> logits, const IdPredicate& allows) {
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!allows(static_cast<int32_t>(id))) logits[id] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace

Result<Decoded> decode_guided(const Qwen2& model, KvCache& cache, const float* prompt_rows,
                              int64_t n, Guide& guide, const DecodingOptions& options,
                              ThreadPool& pool) {
  FASTVLM_RETURN_IF_ERROR(check_request(model, cache, n, options));
  const auto prompt_size = static_cast<size_t>(n * model.config().hidden_size);
  GuidedAnswer answer(model, cache, {prompt_rows, prompt_size}, options.penalized_ids, pool);
  Sampler sampler(options.sampling, options.breaks_sequence);
  const auto most = static_cast<size_t>(options.max_tokens);
  Decoded decoded;

  Stopwatch watch;
  FASTVLM_RETURN_IF_ERROR(answer.start());
  decoded.prefill_seconds = watch.lap();
  for (size_t delivered = 0;;) {
    FASTVLM_ASSIGN(const Guide::Step step, guide.next(answer.ids()));
    answer.take_back_to(step.keep);
    for (; delivered < step.settled; ++delivered) {
      if (!options.on_token || options.on_token(answer.ids()[delivered])) continue;
      decoded.finish = FinishReason::kInterrupted;
      answer.take_back_to(delivered + 1);
      break;
    }
    if (decoded.finish == FinishReason::kInterrupted) break;
    if (step.finish) {
      decoded.finish = *step.finish;
      break;
    }
    if (answer.ids().size() + std::max(step.forced.size(), size_t{1}) > most) break;  // kLength
    for (const int32_t id : step.forced) answer.append(id, false);
    if (!step.forced.empty()) continue;
    FASTVLM_ASSIGN(const std::span<float> logits, answer.logits());
    if (step.allows) {
      FASTVLM_RETURN_IF_ERROR(check_logits(logits));  // before what is damaged may be forbidden
      forbid_others(logits, step.allows);
    }
    FASTVLM_ASSIGN(const int32_t id, sampler.choose(logits, answer.seen()));
    answer.append(id, true);
  }
  decoded.decode_seconds = watch.lap();
  decoded.ids = answer.ids();
  return decoded;
}

}  // namespace fastvlm
