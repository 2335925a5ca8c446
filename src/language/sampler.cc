// SPDX-License-Identifier: Apache-2.0
#include "language/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <unordered_map>

#include "base/strings.h"
#include "kernels/elementwise.h"

namespace fastvlm {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kLeast = 1e-6, kMost = 1e6;  // of factors: scaled logits stay finite

// Keeps the `count` best and whatever equals the last of them.
void keep_top_k(std::vector<Candidate>& candidates, size_t count) {
  if (count >= candidates.size()) return;
  const auto last = candidates.begin() + static_cast<std::ptrdiff_t>(count) - 1;
  std::nth_element(candidates.begin(), last, candidates.end(), better);
  const float threshold = last->score;
  std::erase_if(candidates, [=](const Candidate& c) { return c.score < threshold; });
  std::sort(candidates.begin(), candidates.end(), better);  // what nth_element leaves is its own
}

float best_score(const std::vector<Candidate>& candidates) {
  float best = -kInfinity;
  for (const Candidate& c : candidates) best = std::max(best, c.score);
  return best;
}

// Proportional to the candidate's probability; the best has 1.
double weight(const Candidate& candidate, float best) {
  return std::exp(static_cast<double>(candidate.score) - static_cast<double>(best));
}

double total_weight(const std::vector<Candidate>& candidates, float best) {
  double total = 0;
  for (const Candidate& c : candidates) total += weight(c, best);
  return total;
}

// Keeps candidates, best first, while those before them hold less than `mass` of the probability.
void keep_top_p(std::vector<Candidate>& candidates, double mass, size_t keep) {
  const float best = best_score(candidates);
  const double enough = mass * total_weight(candidates, best);
  // A heap gives the few best of 150,000 without sorting them all.
  const auto worse = [](const Candidate& a, const Candidate& b) { return better(b, a); };
  std::make_heap(candidates.begin(), candidates.end(), worse);
  auto heap_end = candidates.end();
  size_t kept = 0;
  for (double above = 0; heap_end != candidates.begin(); ++kept) {
    if (kept >= keep && above >= enough) break;
    std::pop_heap(candidates.begin(), heap_end, worse);
    above += weight(*--heap_end, best);
  }
  candidates.erase(candidates.begin(), heap_end);
}

}  // namespace

Status check(const SamplingOptions& options) {
  const auto bad = [](const char* name, const char* expected, double found) {
    return error(Code::kUsage, cat("sampling: ", name, ": expected ", expected, ", found ", found),
                 "correct the sampling options");
  };
  const bool greedy = options.temperature == 0;
  if (!greedy && !(options.temperature >= kLeast && options.temperature <= kMost)) {
    return bad("temperature", "0, or 0.000001 .. 1000000", options.temperature);
  }
  if (options.top_k < 0) return bad("top_k", "0 or more", options.top_k);
  if (!(options.top_p >= 0 && options.top_p <= 1)) return bad("top_p", "0 .. 1", options.top_p);
  if (!(options.repetition_penalty >= kLeast && options.repetition_penalty <= kMost)) {
    return bad("repetition_penalty", "0.000001 .. 1000000", options.repetition_penalty);
  }
  if (!(options.dry_multiplier >= 0 && options.dry_multiplier <= kMost)) {
    return bad("dry_multiplier", "0 .. 1000000", options.dry_multiplier);
  }
  if (!(options.dry_base >= 1 && options.dry_base <= kMost)) {
    return bad("dry_base", "1 .. 1000000", options.dry_base);
  }
  if (options.dry_allowed_length < 1) {
    return bad("dry_allowed_length", "1 or more", options.dry_allowed_length);
  }
  return {};
}

Status check_logits(std::span<const float> logits) {
  bool finite = true;
  float best = -kInfinity;
  for (const float logit : logits) {
    finite &= logit < kInfinity;  // false for NaN too
    best = std::max(best, logit);
  }
  if (finite && best > -kInfinity) return {};
  return error(
      Code::kInvalid,
      finite ? "every token is forbidden: all logits are -infinity"
             : "the model's logits are not finite numbers",
      "look the checkpoint over with `fastvlm doctor`: it names weights that are not finite");
}

void penalize_repetition(std::span<float> scores, std::span<const int32_t> seen, double penalty) {
  if (penalty == 1) return;
  std::vector<int32_t> ids(seen.begin(), seen.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  const auto factor = static_cast<float>(penalty);
  for (const int32_t id : ids) {
    float& score = scores[static_cast<size_t>(id)];
    score = score < 0 ? score * factor : score / factor;
  }
}

void penalize_repeated_sequences(std::span<float> scores, std::span<const int32_t> seen,
                                 const SamplingOptions& options, const IdPredicate& breaks) {
  constexpr size_t kLongest = 50;
  if (options.dry_multiplier == 0 || seen.empty()) return;
  const auto broken = [&](int32_t id) { return breaks && breaks(id); };
  const size_t last = seen.size() - 1;
  std::unordered_map<int32_t, size_t> repeated;  // by the id that would go on: the longest
  for (size_t at = 0; at < last; ++at) {
    const int32_t follower = seen[at + 1];
    size_t length = 0;  // of what ends both at `at` and at the end
    while (length < kLongest && length <= at && seen[at - length] == seen[last - length] &&
           !broken(seen[at - length])) {
      ++length;
    }
    if (length == 0 || broken(follower)) continue;
    size_t& longest = repeated[follower];
    longest = std::max(longest, length);
  }
  for (const auto& [id, length] : repeated) {
    const auto beyond = static_cast<double>(length) - options.dry_allowed_length;
    if (beyond < 0) continue;
    const double penalty = options.dry_multiplier * std::pow(options.dry_base, beyond);
    scores[static_cast<size_t>(id)] -= static_cast<float>(std::min(penalty, kMost));
  }
}

void warp(std::vector<Candidate>& candidates, const SamplingOptions& options, int keep) {
  const auto temperature = static_cast<float>(options.temperature);
  for (Candidate& c : candidates) c.score /= temperature;
  if (options.top_k > 0) keep_top_k(candidates, static_cast<size_t>(std::max(options.top_k, keep)));
  if (options.top_p < 1) keep_top_p(candidates, options.top_p, static_cast<size_t>(keep));
}

Result<int32_t> Sampler::choose(std::span<float> logits, std::span<const int32_t> seen) {
  FASTVLM_RETURN_IF_ERROR(check_logits(logits));
  penalize_repetition(logits, seen, options_.repetition_penalty);
  penalize_repeated_sequences(logits, seen, options_, breaks_);
  const auto count = static_cast<int64_t>(logits.size());
  if (options_.temperature == 0) return static_cast<int32_t>(argmax(logits.data(), count));

  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] > -kInfinity) candidates_.push_back({static_cast<int32_t>(i), logits[i]});
  }
  warp(candidates_, options_, 1);
  const float best = best_score(candidates_);
  double rest = generator_.uniform() * total_weight(candidates_, best);
  for (const Candidate& c : candidates_) {
    rest -= weight(c, best);
    if (rest < 0) return c.id;
  }
  return candidates_.back().id;  // rounding ate the last crumb
}

}  // namespace fastvlm
