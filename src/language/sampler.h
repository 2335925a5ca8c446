// SPDX-License-Identifier: Apache-2.0
// From logits to a token. Goals: the rules of Hugging Face's generate() (repetition penalty, then
// temperature, top-k, top-p, in this order), and the same choice from the same logits, options and
// seed on every machine: own generator, total orders instead of unstable sorts. Logits that are not
// numbers are an error, never a token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct SamplingOptions {
  double temperature = 0;         // 0: the likeliest token, nothing is drawn
  int top_k = 0;                  // draw among the k likeliest and their equals; 0: all
  double top_p = 1;               // draw among the likeliest that reach this mass together; 1: all
  double repetition_penalty = 1;  // above 1 makes tokens that are already there less likely
  uint64_t seed = 0;
};

// kUsage when an option is out of its range.
Status check(const SamplingOptions& options);

// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, the same numbers everywhere.
class Generator {
 public:
  explicit Generator(uint64_t seed) : state_(seed) {}
  uint64_t next();
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // in [0, 1)

 private:
  uint64_t state_;
};

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

// Temperature, top-k, top-p: scales and drops candidates, at least `keep` of them stay.
void warp(std::vector<Candidate>& candidates, const SamplingOptions& options, int keep);

class Sampler {
 public:
  // The options have passed check().
  explicit Sampler(const SamplingOptions& options) : options_(options), generator_(options.seed) {}

  // Chooses a token. `seen` holds the ids that the repetition penalty knows, in any order, all
  // inside the vocabulary. `logits` [vocab] are changed by the penalty.
  Result<int32_t> choose(std::span<float> logits, std::span<const int32_t> seen);

 private:
  SamplingOptions options_;
  Generator generator_;
  std::vector<Candidate> candidates_;
};

}  // namespace fastvlm
