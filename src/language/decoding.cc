// SPDX-License-Identifier: Apache-2.0
#include "language/decoding.h"

#include <algorithm>

#include "base/stopwatch.h"
#include "base/strings.h"
#include "language/answer_logits.h"

namespace fastvlm {

bool DecodingOptions::stops(int32_t id) const {
  return std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end();
}

Status check_request(const Qwen2& model, const KvCache& cache, int64_t n,
                     const DecodingOptions& options) {
  FASTVLM_RETURN_IF_ERROR(check(options.sampling));
  FASTVLM_RETURN_IF_ERROR(model.check_context(cache.length() + n, options.max_tokens));
  for (const int32_t id : options.penalized_ids) {
    if (id >= 0 && id < model.config().vocab_size) continue;
    return error(
        Code::kUsage,
        cat("penalized_ids: expected ids below ", model.config().vocab_size, ", found ", id),
        "leave image places and foreign ids out");
  }
  if (cache.length() + n + options.max_tokens <= cache.capacity()) return {};
  return error(Code::kUsage,
               cat("cache of ", cache.capacity(), " rows: expected room for ", cache.length() + n,
                   " rows of prompt and ", options.max_tokens, " of answer"),
               "make the cache as long as prompt and answer together");
}

namespace {

// The length of the block that the ids end in four times over; 0: none.
size_t looping_block(std::span<const int32_t> ids) {
  constexpr size_t kLongestBlock = 64, kRepeats = 4, kLeastCovered = 32;
  for (size_t block = 1; block <= kLongestBlock; ++block) {
    const size_t covered = std::max(kRepeats * block, kLeastCovered);
    if (covered > ids.size()) return 0;
    const auto tail = ids.last(covered);
    if (std::equal(tail.begin() + static_cast<std::ptrdiff_t>(block), tail.end(), tail.begin())) {
      return block;
    }
  }
  return 0;
}

}  // namespace

bool ends_in_loop(std::span<const int32_t> ids) {
  return looping_block(ids) > 0;
}

size_t length_before_repeats(std::span<const int32_t> ids) {
  const size_t block = looping_block(ids);
  if (block == 0) return ids.size();
  size_t kept = ids.size();
  while (kept > block && ids[kept - 1] == ids[kept - 1 - block]) --kept;
  return kept;
}

Result<Decoded> decode(const Qwen2& model, KvCache& cache, const float* prompt_rows, int64_t n,
                       const DecodingOptions& options, Compute compute) {
  FASTVLM_RETURN_IF_ERROR(check_request(model, cache, n, options));
  const auto prompt_size = static_cast<size_t>(n * model.config().hidden_size);
  AnswerLogits logits(model, cache, {prompt_rows, prompt_size}, options.max_tokens, options.drafter,
                      compute);
  Decoded answer;
  answer.ids.reserve(static_cast<size_t>(options.max_tokens));
  Sampler sampler(options.sampling, options.breaks_sequence);
  std::vector<int32_t> seen = options.penalized_ids;

  Stopwatch watch;
  FASTVLM_RETURN_IF_ERROR(logits.start());
  answer.prefill_seconds = watch.lap();
  while (static_cast<int64_t>(answer.ids.size()) < options.max_tokens) {
    if (options.go_on && !options.go_on()) {
      answer.finish = FinishReason::kInterrupted;
      break;
    }
    FASTVLM_ASSIGN(const std::span<float> behind, logits.behind(answer.ids));
    FASTVLM_ASSIGN(const int32_t id, sampler.choose(behind, seen));
    if (options.stops(id)) {
      answer.finish = FinishReason::kStop;
      break;
    }
    answer.ids.push_back(id);
    seen.push_back(id);
    if (options.on_token && !options.on_token(id)) {
      answer.finish = FinishReason::kInterrupted;
      break;
    }
    if (options.stop_on_loop && ends_in_loop(answer.ids)) {
      answer.finish = FinishReason::kLoop;
      break;
    }
  }
  logits.keep_only(answer.ids);
  answer.decode_seconds = watch.lap();
  answer.drafts = logits.counts();
  return answer;
}

}  // namespace fastvlm
