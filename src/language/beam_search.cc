// SPDX-License-Identifier: Apache-2.0
// Beam search by the rules of Hugging Face's generate(): twice as many continuations as beams are
// looked at, those that end the answer become hypotheses when they are among the best, and the
// search is over when no beam could still beat the worst hypothesis kept.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/stopwatch.h"
#include "base/strings.h"
#include "language/decoding.h"

namespace fastvlm {
namespace {

constexpr int kMostBeams = 64;
constexpr float kHopeless = -1e9F;  // the score of beams that do not differ from the first one yet

struct Hypothesis {
  double score = 0;  // mean log probability of its tokens, the stop token included
  std::vector<int32_t> ids;
  FinishReason finish = FinishReason::kLength;
};

// The best answers so far, at most as many as there are beams.
class Hypotheses {
 public:
  explicit Hypotheses(size_t capacity) : capacity_(capacity) {}

  void add(Hypothesis hypothesis) {
    if (kept_.size() == capacity_) {
      const auto worst = worst_kept();
      if (hypothesis.score <= worst->score) return;
      kept_.erase(worst);
    }
    kept_.push_back(std::move(hypothesis));
  }
  // Whether no answer of this score or less can enter any more.
  bool closed_to(double score) const {
    return kept_.size() == capacity_ && worst_kept()->score >= score;
  }
  // The best one, the latest among equals.
  const Hypothesis& best() const {
    return *std::max_element(kept_.rbegin(), kept_.rend(), lower_score);
  }

 private:
  static bool lower_score(const Hypothesis& a, const Hypothesis& b) { return a.score < b.score; }
  std::vector<Hypothesis>::const_iterator worst_kept() const {
    return std::min_element(kept_.begin(), kept_.end(), lower_score);
  }

  size_t capacity_;
  std::vector<Hypothesis> kept_;
};

struct Beam {
  std::vector<int32_t> ids;
  float score = kHopeless;  // sum of log probabilities
  KvCache cache;
  std::vector<float> logits;  // after ids
};

// A beam and the token that continues it.
struct Continuation {
  size_t beam = 0;
  int32_t id = 0;
  float score = 0;  // of the beam with the token
  double key = 0;   // what the choice goes by: the score, with noise when drawn
};

bool better_key(const Continuation& a, const Continuation& b) {
  return std::pair(-a.key, std::pair(a.beam, a.id)) < std::pair(-b.key, std::pair(b.beam, b.id));
}

bool better_score(const Continuation& a, const Continuation& b) {
  return std::pair(-a.score, std::pair(a.beam, a.id)) <
         std::pair(-b.score, std::pair(b.beam, b.id));
}

void log_softmax(std::span<float> logits) {
  const float best = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit - best));
  const float normalizer = best + static_cast<float>(std::log(total));
  for (float& logit : logits) logit -= normalizer;
}

class BeamSearch {
 public:
  BeamSearch(const Qwen2& model, const DecodingOptions& options, ThreadPool& pool, size_t beams)
      : model_(model),
        options_(options),
        pool_(pool),
        width_(beams),
        looked_at_a_beam_(std::max<size_t>(2, 1 + options.stop_ids.size())),
        generator_(options.sampling.seed),
        row_(static_cast<size_t>(model.config().hidden_size)),
        hypotheses_(beams) {}

  // `prompt` holds the prompt, `logits` follow it.
  Result<Hypothesis> run(const KvCache& prompt, const std::vector<float>& logits) {
    open_beams(prompt, logits);
    for (int64_t length = 1;; ++length) {
      FASTVLM_ASSIGN(const std::vector<Continuation> best, best_continuations());
      const std::vector<Continuation> chosen = sort_out(best, length);
      if (hypotheses_.closed_to(mean_score(best.front().score, length))) return hypotheses_.best();
      FASTVLM_RETURN_IF_ERROR(follow(chosen, length < options_.max_tokens));
      if (length == options_.max_tokens) break;
    }
    for (const Beam& beam : beams_) {
      hypotheses_.add(
          {mean_score(beam.score, options_.max_tokens), beam.ids, FinishReason::kLength});
    }
    return hypotheses_.best();
  }

 private:
  static double mean_score(float sum, int64_t length) {
    return static_cast<double>(sum) / static_cast<double>(length);
  }

  void open_beams(const KvCache& prompt, const std::vector<float>& logits) {
    const int64_t first_position = prompt.next_position() - prompt.length();
    for (size_t i = 0; i < width_; ++i) {
      KvCache cache(model_.config(), prompt.length() + options_.max_tokens, first_position);
      cache.copy_from(prompt);
      beams_.push_back({{}, i == 0 ? 0 : kHopeless, std::move(cache), logits});
    }
    shared_rows_ = prompt.length();
  }

  // The best continuations of all beams, best first; drawn when there is a temperature.
  Result<std::vector<Continuation>> best_continuations() {
    std::vector<Continuation> all;
    for (size_t i = 0; i < beams_.size(); ++i) FASTVLM_RETURN_IF_ERROR(continue_beam(i, all));
    keep_best(all, looked_at_a_beam_ * width_);
    std::sort(all.begin(), all.end(), better_score);
    return all;
  }

  // Appends what of beam `index` may be among the best continuations.
  Status continue_beam(size_t index, std::vector<Continuation>& all) {
    Beam& beam = beams_[index];
    FASTVLM_RETURN_IF_ERROR(check_logits(beam.logits));
    log_softmax(beam.logits);
    std::vector<int32_t> seen = options_.penalized_ids;
    seen.insert(seen.end(), beam.ids.begin(), beam.ids.end());
    penalize_repetition(beam.logits, seen, options_.sampling.repetition_penalty);

    candidates_.clear();
    for (const float score : beam.logits) {
      candidates_.push_back({static_cast<int32_t>(candidates_.size()), score});
    }
    const bool drawn = options_.sampling.temperature > 0;
    if (drawn) warp(candidates_, options_.sampling, static_cast<int>(looked_at_a_beam_));
    continuations_.clear();
    for (const Candidate& candidate : candidates_) {
      const float score = candidate.score + beam.score;
      // The largest of scores with Gumbel noise are a draw without replacement.
      const double noise = drawn ? -std::log(-std::log(generator_.uniform() + 0x1p-54)) : 0;
      continuations_.push_back({index, candidate.id, score, static_cast<double>(score) + noise});
    }
    keep_best(continuations_, looked_at_a_beam_ * width_);
    all.insert(all.end(), continuations_.begin(), continuations_.end());
    return {};
  }

  static void keep_best(std::vector<Continuation>& continuations, size_t count) {
    if (count >= continuations.size()) return;
    const auto end = continuations.begin() + static_cast<std::ptrdiff_t>(count);
    std::nth_element(continuations.begin(), end - 1, continuations.end(), better_key);
    continuations.erase(end, continuations.end());
  }

  // Turns the ends of answers into hypotheses and returns the first others, one for each beam to
  // come.
  std::vector<Continuation> sort_out(const std::vector<Continuation>& best, int64_t length) {
    std::vector<Continuation> chosen;
    for (size_t rank = 0; rank < best.size() && chosen.size() < width_; ++rank) {
      const Continuation& next = best[rank];
      if (!options_.stops(next.id)) {
        chosen.push_back(next);
      } else if (rank < width_) {
        hypotheses_.add(
            {mean_score(next.score, length), beams_[next.beam].ids, FinishReason::kStop});
      }
    }
    return chosen;
  }

  // The chosen continuations become the beams; `compute` their logits, too.
  Status follow(const std::vector<Continuation>& chosen, bool compute) {
    reorder(chosen);
    for (size_t i = 0; i < beams_.size(); ++i) {
      Beam& beam = beams_[i];
      beam.ids.push_back(chosen[i].id);
      beam.score = chosen[i].score;
      if (!compute) continue;
      FASTVLM_RETURN_IF_ERROR(model_.embed({&beam.ids.back(), 1}, row_.data()));
      FASTVLM_RETURN_IF_ERROR(
          model_.forward(beam.cache, row_.data(), 1, Qwen2::Logits::kLast, beam.logits, pool_));
    }
    return {};
  }

  // Beam i becomes a copy of beam chosen[i].beam. The first that continues a beam takes it as it
  // is; the others copy it over beams that nobody continues.
  void reorder(const std::vector<Continuation>& chosen) {
    std::vector<bool> continued(width_, false);
    for (const Continuation& next : chosen) continued[next.beam] = true;
    std::vector<size_t> source(width_);  // the old beam whose memory the new beam gets
    std::vector<bool> taken(width_, false);
    size_t spare = 0;
    for (size_t i = 0; i < width_; ++i) {
      source[i] = chosen[i].beam;
      if (taken[source[i]]) {
        while (continued[spare]) ++spare;
        beams_[spare].ids = beams_[chosen[i].beam].ids;
        beams_[spare].cache.copy_from(beams_[chosen[i].beam].cache, shared_rows_);
        source[i] = spare++;
      }
      taken[source[i]] = true;
    }
    std::vector<Beam> reordered;
    reordered.reserve(width_);
    for (const size_t old : source) reordered.push_back(std::move(beams_[old]));
    beams_ = std::move(reordered);
  }

  const Qwen2& model_;
  const DecodingOptions& options_;
  ThreadPool& pool_;
  size_t width_;
  size_t
      looked_at_a_beam_;  // continuations, so that enough remain when all stop ids are among them
  Generator generator_;
  std::vector<float> row_;
  Hypotheses hypotheses_;
  std::vector<Beam> beams_;
  std::vector<Candidate> candidates_;        // of one beam
  std::vector<Continuation> continuations_;  // of one beam
  int64_t shared_rows_ = 0;                  // of the prompt, the same in all caches
};

}  // namespace

Result<Decoded> beam_search(const Qwen2& model, KvCache& cache, const float* prompt_rows, int64_t n,
                            int beams, const DecodingOptions& options, ThreadPool& pool) {
  FASTVLM_RETURN_IF_ERROR(check_request(model, cache, n, options));
  if (options.sampling.dry_multiplier > 0) {
    return error(Code::kUsage, "dry_multiplier: expected 0 with beams",
                 "ask for one beam, or use the repetition penalty");
  }
  const auto fewest_tokens = static_cast<int64_t>(options.stop_ids.size()) + 2;
  if (beams < 1 || beams > kMostBeams || model.config().vocab_size < fewest_tokens) {
    return error(
        Code::kUsage,
        cat("num_beams: expected 1 .. ", kMostBeams, " and a vocabulary of ", fewest_tokens,
            " ids or more, found ", beams, " and ", model.config().vocab_size),
        "ask for fewer beams");
  }
  const Stopwatch prefill;
  std::vector<float> logits;
  FASTVLM_RETURN_IF_ERROR(model.forward(cache, prompt_rows, n, Qwen2::Logits::kLast, logits, pool));
  const double prefill_seconds = prefill.seconds();

  const Stopwatch searching;
  BeamSearch search(model, options, pool, static_cast<size_t>(beams));
  FASTVLM_ASSIGN(Hypothesis best, search.run(cache, logits));
  return Decoded{std::move(best.ids), best.finish, prefill_seconds, searching.seconds()};
}

}  // namespace fastvlm
