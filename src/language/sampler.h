// SPDX-License-Identifier: Apache-2.0
// From logits to a token. Goals: the rules of Hugging Face's generate() (repetition penalty, then
// temperature, top-k, top-p, in this order; the penalty on repeated sequences stands behind the
// first), and the same choice from the same logits, options and
// seed on every machine: own generator, total orders instead of unstable sorts. Logits that are not
// numbers are an error, never a token.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/result.h"

namespace fastvlm {

struct SamplingOptions {
  double temperature = 0;         // 0: the likeliest token, nothing is drawn
  int top_k = 0;                  // draw among the k likeliest and their equals; 0: all
  double top_p = 1;               // draw among the likeliest that reach this mass together; 1: all
  double repetition_penalty = 1;  // above 1 makes tokens that are already there less likely
  // "Don't repeat yourself" (p-e-w, github.com/oobabooga/text-generation-webui/pull/5677): a token
  // that would make the last n >= dry_allowed_length tokens a repetition of earlier ones loses
  // dry_multiplier * dry_base^(n - dry_allowed_length) of its logit. 0: off.
  double dry_multiplier = 0;
  double dry_base = 1.75;
  int dry_allowed_length = 2;
  uint64_t seed = 0;
};

// kUsage when an option is out of its range.
Status check(const SamplingOptions& options);

struct Candidate {
  int32_t id = 0;
  float score = 0;  // a logit or a log probability
};

// The order of candidates everywhere: better score first, lower id among equals.
inline bool better(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}

// kInvalid when a logit is NaN or +infinity, or all are -infinity (which alone marks a forbidden
// token).
Status check_logits(std::span<const float> logits);

// Divides positive and multiplies negative scores of the ids in `seen` by `penalty`, each id once.
void penalize_repetition(std::span<float> scores, std::span<const int32_t> seen, double penalty);

// The penalty of SamplingOptions::dry_multiplier. `seen` is in its order; a repetition does not
// reach over an id that `breaks` names, and such an id is never penalised. At most the last 50 ids
// of a repetition count.
using IdPredicate = std::function<bool(int32_t id)>;
void penalize_repeated_sequences(std::span<float> scores, std::span<const int32_t> seen,
                                 const SamplingOptions& options, const IdPredicate& breaks);

// Temperature, top-k, top-p: scales and drops candidates, at least `keep` of them stay.
void warp(std::vector<Candidate>& candidates, const SamplingOptions& options, int keep);

class Sampler {
 public:
  // The options have passed check(). `breaks` is of penalize_repeated_sequences; none: nothing
  // breaks.
  explicit Sampler(const SamplingOptions& options, IdPredicate breaks = {})
      : options_(options), generator_(options.seed), breaks_(std::move(breaks)) {}

  // Chooses a token. `seen` holds the ids that the penalties know, in their order, all inside the
  // vocabulary. `logits` [vocab] are changed by the penalties.
  Result<int32_t> choose(std::span<float> logits, std::span<const int32_t> seen);

 private:
  SamplingOptions options_;
  Generator generator_;
  IdPredicate breaks_;
  std::vector<Candidate> candidates_;
};

}  // namespace fastvlm
