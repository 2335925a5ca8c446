// SPDX-License-Identifier: Apache-2.0
// From a prompt to the ids of an answer: one token after the other (greedy or sampled), or by beam
// search. What is asked is checked against the model's context before any work. Non-goals: text,
// templates, what a caption looks like.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "language/compute.h"
#include "language/drafter.h"
#include "language/kv_cache.h"
#include "language/qwen2.h"
#include "language/sampler.h"

namespace fastvlm {

enum class FinishReason {
  kStop,         // the model ended the answer
  kLength,       // max_tokens were reached
  kLoop,         // the answer only repeated itself
  kInterrupted,  // on_token or go_on asked to stop
};

struct DecodingOptions {
  SamplingOptions sampling = {};
  int64_t max_tokens = 256;
  std::vector<int32_t> stop_ids = {};  // any of them ends the answer; it is not part of it
  // What the penalties know besides the answer. Hugging Face's generate() knows nothing
  // more when it is given embeddings, as predict.py does.
  std::vector<int32_t> penalized_ids = {};
  IdPredicate breaks_sequence = {};               // see penalize_repeated_sequences
  bool stop_on_loop = false;                      // see ends_in_loop
  std::function<bool(int32_t id)> on_token = {};  // each id; false ends the answer after it
  // Asked before each id is computed; false ends the answer there. Under a guide ids are known for
  // sure late, so that on_token alone would let an answer that nobody wants go on.
  std::function<bool()> go_on = {};
  // Guesses that save passes and change no answer; it has begun with this prompt. None: no
  // guesses. Must outlive the call.
  Drafter* drafter = nullptr;

  bool stops(int32_t id) const;  // whether it is one of stop_ids
};

struct Decoded {
  std::vector<int32_t> ids;
  FinishReason finish = FinishReason::kLength;
  double prefill_seconds = 0;  // until the prompt's logits
  double decode_seconds = 0;   // from there to the end
  DraftCounts drafts = {};
};

// Answers prompt_rows [n, hidden_size], which continue what the cache holds. The cache needs room
// for n + max_tokens rows. Afterwards it holds prompt and answer, but for a last id after which
// none was computed (finish other than kStop).
Result<Decoded> decode(const Qwen2& model, KvCache& cache, const float* prompt_rows, int64_t n,
                       const DecodingOptions& options, Compute compute);

// The same by `beams` parallel answers, with the rules of Hugging Face's beam search (length
// penalty 1, no early stopping, one answer returned); with a temperature, its beam sampling.
// on_token, stop_on_loop and drafter do not apply, since no id is certain before the end; the
// penalty on repeated sequences is refused. Afterwards the cache holds the prompt.
Result<Decoded> beam_search(const Qwen2& model, KvCache& cache, const float* prompt_rows, int64_t n,
                            int beams, const DecodingOptions& options, ThreadPool& pool);

// What both refuse: bad options, a prompt and answer that do not fit the context or the cache.
Status check_request(const Qwen2& model, const KvCache& cache, int64_t n,
                     const DecodingOptions& options);

// Whether the ids end in a block of at most 64 ids that stands there at least four times in a row
// and covers at least 32 ids.
bool ends_in_loop(std::span<const int32_t> ids);

// Of ids that end in a loop: how many come before its second round.
size_t length_before_repeats(std::span<const int32_t> ids);

}  // namespace fastvlm
