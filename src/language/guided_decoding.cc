// SPDX-License-Identifier: Apache-2.0
#include "language/guided_decoding.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/stopwatch.h"
#include "language/answer_logits.h"

namespace fastvlm {
namespace {

// The answer as it grows and shrinks.
class GuidedAnswer {
 public:
  explicit GuidedAnswer(std::vector<int32_t> penalized) : seen_(std::move(penalized)) {}

  const std::vector<int32_t>& ids() const { return ids_; }
  // What the penalties know: ids that were penalized from the start, then those that were chosen.
  const std::vector<int32_t>& seen() const { return seen_; }

  void append(int32_t id, bool chosen) {
    ids_.push_back(id);
    if (!chosen) return;
    seen_.push_back(id);
    chosen_at_.push_back(ids_.size() - 1);
  }

  void take_back_to(size_t keep) {
    ids_.resize(keep);
    while (!chosen_at_.empty() && chosen_at_.back() >= keep) {
      chosen_at_.pop_back();
      seen_.pop_back();
    }
  }

 private:
  std::vector<int32_t> ids_;
  std::vector<int32_t> seen_;
  std::vector<size_t> chosen_at_;  // where in ids_ those stand that the model chose
};

void forbid_others(std::span<float> logits, const IdPredicate& allows) {
  for (size_t id = 0; id < logits.size(); ++id) {
    if (!allows(static_cast<int32_t>(id))) logits[id] = -std::numeric_limits<float>::infinity();
  }
}

}  // namespace

Result<Decoded> decode_guided(const Qwen2& model, KvCache& cache, const float* prompt_rows,
                              int64_t n, Guide& guide, const DecodingOptions& options,
                              Compute compute) {
  FASTVLM_RETURN_IF_ERROR(check_request(model, cache, n, options));
  const auto prompt_size = static_cast<size_t>(n * model.config().hidden_size);
  AnswerLogits logits(model, cache, {prompt_rows, prompt_size}, options.max_tokens, options.drafter,
                      compute);
  GuidedAnswer answer(options.penalized_ids);
  Sampler sampler(options.sampling, options.breaks_sequence);
  const auto most = static_cast<size_t>(options.max_tokens);
  Decoded decoded;

  Stopwatch watch;
  FASTVLM_RETURN_IF_ERROR(logits.start());
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
    if (options.go_on && !options.go_on()) {
      decoded.finish = FinishReason::kInterrupted;
      answer.take_back_to(delivered);  // what no caller has seen is no answer
      break;
    }
    FASTVLM_ASSIGN(const std::span<float> behind, logits.behind(answer.ids()));
    if (step.allows) {
      FASTVLM_RETURN_IF_ERROR(check_logits(behind));  // before what is damaged may be forbidden
      forbid_others(behind, step.allows);
    }
    FASTVLM_ASSIGN(const int32_t id, sampler.choose(behind, answer.seen()));
    answer.append(id, true);
  }
  logits.keep_only(answer.ids());
  decoded.decode_seconds = watch.lap();
  decoded.ids = answer.ids();
  decoded.drafts = logits.counts();
  return decoded;
}

}  // namespace fastvlm
