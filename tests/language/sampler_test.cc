// SPDX-License-Identifier: Apache-2.0
#include "language/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "support/files.h"

namespace fastvlm {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

nlohmann::json warper_golden() {
  std::ifstream file(test::golden("decoding") / "warpers.json");
  return nlohmann::json::parse(file);
}

std::vector<float> golden_row(const nlohmann::json& values) {
  std::vector<float> row;
  for (const auto& value : values) row.push_back(value.is_null() ? -kInfinity : value.get<float>());
  return row;
}

std::vector<Candidate> as_candidates(const std::vector<float>& scores) {
  std::vector<Candidate> candidates;
  for (const float score : scores) {
    candidates.push_back({static_cast<int32_t>(candidates.size()), score});
  }
  return candidates;
}

// Pearson's statistic of `draws` choices against these probabilities; a token of probability 0 must
// not be chosen.
double chi_square(const std::vector<float>& logits, const SamplingOptions& options,
                  const std::vector<double>& probabilities, int draws) {
  Sampler sampler(options);
  std::vector<int> counts(logits.size());
  for (int i = 0; i < draws; ++i) {
    std::vector<float> scratch = logits;
    const auto id = sampler.choose(scratch, {});
    EXPECT_TRUE(id.ok());
    ++counts[static_cast<size_t>(*id)];
  }
  double sum = 0;
  for (size_t i = 0; i < counts.size(); ++i) {
    const double expected = probabilities[i] * draws;
    if (expected == 0) {
      EXPECT_EQ(counts[i], 0) << "token " << i;
    } else {
      sum += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
  }
  return sum;
}

const std::vector<float> kLogits = {0.5F, -1.0F, 2.0F, 1.0F, -kInfinity, 0.0F};

std::vector<double> softmax(double temperature, const std::vector<size_t>& kept) {
  std::vector<double> p(kLogits.size());
  double total = 0;
  for (const size_t i : kept)
    total += p[i] = std::exp(static_cast<double>(kLogits[i]) / temperature);
  for (double& value : p) value /= total;
  return p;
}

// Bounds: the 99.9 % points of chi-square with (kept - 1) degrees of freedom; seeds are fixed.
TEST(Sampler, DrawsByTheProbabilities) {
  const int draws = 20000;
  EXPECT_LT(chi_square(kLogits, {.temperature = 1, .seed = 1}, softmax(1, {0, 1, 2, 3, 5}), draws),
            18.5);
  EXPECT_LT(
      chi_square(kLogits, {.temperature = 0.5, .seed = 2}, softmax(0.5, {0, 1, 2, 3, 5}), draws),
      18.5);
  EXPECT_LT(
      chi_square(kLogits, {.temperature = 2, .top_k = 3, .seed = 3}, softmax(2, {0, 2, 3}), draws),
      13.9);
  // Masses are 0.56, 0.21, 0.13, ...: the third is needed to reach 0.8, and enough.
  EXPECT_LT(chi_square(kLogits, {.temperature = 1, .top_p = 0.8, .seed = 4}, softmax(1, {0, 2, 3}),
                       draws),
            13.9);
  // And that these bounds catch a wrong distribution:
  EXPECT_GT(
      chi_square(kLogits, {.temperature = 1.1, .seed = 1}, softmax(1, {0, 1, 2, 3, 5}), draws),
      18.5);
}

TEST(Sampler, KeepsWhatHuggingFaceKeeps) {
  const nlohmann::json golden = warper_golden();
  ASSERT_GT(golden["warped"].size(), 100U);
  for (const auto& item : golden["warped"]) {
    auto candidates = as_candidates(golden_row(golden["rows"][item["row"].get<std::string>()]));
    SamplingOptions options;
    options.temperature = item["temperature"];
    options.top_k = item["top_k"];
    options.top_p = item["top_p"];
    warp(candidates, options, item["keep"]);
    std::erase_if(candidates, [](const Candidate& c) { return c.score == -kInfinity; });
    std::sort(candidates.begin(), candidates.end(), [](auto& a, auto& b) { return a.id < b.id; });
    std::vector<int32_t> ids;
    for (const Candidate& c : candidates) ids.push_back(c.id);
    ASSERT_EQ(ids, item["ids"].get<std::vector<int32_t>>()) << item.dump();
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_FLOAT_EQ(candidates[i].score, item["scores"][i].get<float>()) << item.dump();
    }
  }
}

TEST(Sampler, PenalizesWhatHuggingFacePenalizes) {
  const nlohmann::json golden = warper_golden();
  for (const auto& item : golden["penalized"]) {
    std::vector<float> row = golden_row(golden["rows"]["random"]);
    penalize_repetition(row, golden["penalized"][0]["seen"].get<std::vector<int32_t>>(),
                        item["penalty"]);
    for (size_t i = 0; i < row.size(); ++i) EXPECT_FLOAT_EQ(row[i], item["scores"][i].get<float>());
  }
}

TEST(Sampler, PenaltyAlwaysLowersAndCountsAnIdOnce) {
  std::vector<float> scores = {3.0F, -3.0F, 0.0F, 3.0F};
  const std::vector<int32_t> seen = {1, 0, 2, 1, 0, 0};
  penalize_repetition(scores, seen, 1.5);
  EXPECT_EQ(scores, (std::vector<float>{2.0F, -4.5F, 0.0F, 3.0F}));
}

TEST(Sampler, PenaltyChangesTheGreedyChoice) {
  Sampler sampler({.repetition_penalty = 2});
  std::vector<float> logits = {1.0F, 3.0F, 2.0F};
  EXPECT_EQ(*sampler.choose(logits, std::vector<int32_t>{1}), 2);
}

TEST(Sampler, EdgesOfTopKAndTopP) {
  const std::vector<float> ties = {1, 3, 3, 3, 0};
  auto candidates = as_candidates(ties);
  warp(candidates, {.temperature = 1, .top_k = 2}, 1);
  EXPECT_EQ(candidates.size(), 3U);  // all that equal the second best
  candidates = as_candidates(ties);
  warp(candidates, {.temperature = 1, .top_k = 99}, 1);
  EXPECT_EQ(candidates.size(), 5U);
  candidates = as_candidates(ties);
  warp(candidates, {.temperature = 1, .top_p = 0}, 1);
  ASSERT_EQ(candidates.size(), 1U);
  EXPECT_EQ(candidates[0].id, 1);  // the first among equals
  candidates = as_candidates(ties);
  warp(candidates, {.temperature = 1, .top_k = 1, .top_p = 0}, 2);
  EXPECT_EQ(candidates.size(), 2U);  // what beam sampling keeps at least
  candidates = as_candidates({2, 2, 2, 2});
  warp(candidates, {.temperature = 1, .top_p = 0.5}, 1);
  EXPECT_EQ(candidates.size(), 2U);  // half the mass is reached by two of four
}

TEST(Sampler, GreedyTakesTheFirstOfTheBest) {
  Sampler sampler({});
  std::vector<float> logits = {1, 5, 5, 2};
  EXPECT_EQ(*sampler.choose(logits, {}), 1);
}

// The ids whose scores `penalize_repeated_sequences` lowers, and by how much.
std::map<int32_t, float> lowered(const std::vector<int32_t>& seen, const SamplingOptions& options,
                                 const IdPredicate& breaks = {}) {
  std::vector<float> scores(20, 1.0F);
  penalize_repeated_sequences(scores, seen, options, breaks);
  std::map<int32_t, float> found;
  for (size_t id = 0; id < scores.size(); ++id) {
    if (scores[id] != 1.0F) found[static_cast<int32_t>(id)] = 1.0F - scores[id];
  }
  return found;
}

TEST(RepeatedSequences, CostMoreTheLongerTheyAre) {
  const SamplingOptions dry{.dry_multiplier = 0.5, .dry_base = 2, .dry_allowed_length = 2};
  using Lowered = std::map<int32_t, float>;
  EXPECT_EQ(lowered({1, 2, 3, 4, 5, 1}, dry), Lowered{});                // one id is allowed
  EXPECT_EQ(lowered({1, 2, 3, 4, 5, 1, 2}, dry), (Lowered{{3, 0.5F}}));  // 0.5 * 2^0
  EXPECT_EQ(lowered({1, 2, 3, 4, 5, 1, 2, 3}, dry), (Lowered{{4, 1.0F}}));
  EXPECT_EQ(lowered({1, 2, 3, 4, 5, 1, 2, 3, 4}, dry), (Lowered{{5, 2.0F}}));
  // Two continuations of one beginning; the longer match counts.
  EXPECT_EQ(lowered({1, 2, 6, 9, 1, 2, 7, 1, 2}, dry), (Lowered{{6, 0.5F}, {7, 0.5F}}));
  EXPECT_EQ(lowered({1, 2, 6, 9, 1, 2, 6, 9, 1, 2}, dry), (Lowered{{6, 8.0F}}));
  EXPECT_EQ(lowered({}, dry), Lowered{});
  EXPECT_EQ(lowered({1, 2, 3, 1, 2}, {}), Lowered{});  // off
}

TEST(RepeatedSequences, EndAtWhatBreaksThem) {
  const SamplingOptions dry{.dry_multiplier = 0.5, .dry_base = 2, .dry_allowed_length = 2};
  using Lowered = std::map<int32_t, float>;
  const auto is_nine = [](int32_t id) { return id == 9; };
  EXPECT_EQ(lowered({9, 1, 2, 3, 9, 1, 2}, dry, is_nine), (Lowered{{3, 0.5F}}));
  EXPECT_EQ(lowered({1, 9, 3, 1, 9}, dry, is_nine), Lowered{});
  EXPECT_EQ(lowered({1, 2, 9, 3, 1, 2}, dry, is_nine), Lowered{});  // never lowers what breaks
}

TEST(RepeatedSequences, StayFinite) {
  const std::vector<int32_t> same(2000, 3);
  const auto found =
      lowered(same, {.dry_multiplier = 1e6, .dry_base = 1e6, .dry_allowed_length = 1});
  EXPECT_EQ(found, (std::map<int32_t, float>{{3, 1e6F}}));
}

TEST(Sampler, ASeedFixesTheChoices) {
  const auto choices = [](uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed});
    std::vector<int32_t> ids;
    for (int i = 0; i < 50; ++i) {
      std::vector<float> logits = kLogits;
      ids.push_back(*sampler.choose(logits, {}));
    }
    return ids;
  };
  EXPECT_EQ(choices(1), choices(1));
  EXPECT_NE(choices(1), choices(2));
}

TEST(Sampler, RefusesLogitsThatAreNotNumbers) {
  for (const double temperature : {0.0, 1.0}) {
    Sampler sampler({.temperature = temperature});
    for (const float bad : {std::nanf(""), kInfinity}) {
      std::vector<float> logits = {1, bad, 2};
      EXPECT_EQ(sampler.choose(logits, {}).status().code, Code::kInvalid);
    }
    std::vector<float> forbidden = {-kInfinity, -kInfinity};
    EXPECT_EQ(sampler.choose(forbidden, {}).status().code, Code::kInvalid);
    std::vector<float> one = {-kInfinity, -2, -kInfinity};
    EXPECT_EQ(*sampler.choose(one, {}), 1);
  }
}

TEST(Sampler, ChecksItsOptions) {
  EXPECT_TRUE(check({}).ok());
  EXPECT_TRUE(
      check({.temperature = 0.2, .top_k = 50, .top_p = 0.9, .repetition_penalty = 1.1}).ok());
  for (const SamplingOptions& bad :
       {SamplingOptions{.temperature = -1}, SamplingOptions{.temperature = std::nan("")},
        SamplingOptions{.temperature = 1e-40}, SamplingOptions{.temperature = kInfinity},
        SamplingOptions{.top_k = -1}, SamplingOptions{.top_p = 1.5},
        SamplingOptions{.top_p = std::nan("")}, SamplingOptions{.repetition_penalty = 0},
        SamplingOptions{.repetition_penalty = std::nan("")}, SamplingOptions{.dry_multiplier = -1},
        SamplingOptions{.dry_base = 0.5}, SamplingOptions{.dry_base = std::nan("")},
        SamplingOptions{.dry_allowed_length = 0}}) {
    const Status status = check(bad);
    EXPECT_EQ(status.code, Code::kUsage);
    EXPECT_FALSE(status.hint.empty());
  }
}

// The sequence of the published reference implementation for this seed.
TEST(Generator, IsSplitMix64) {
  Generator generator(1234567);
  for (const uint64_t want : {6457827717110365317U, 3203168211198807973U, 9817491932198370423U,
                              4593380528125082431U, 16408922859458223821U}) {
    EXPECT_EQ(generator.next(), want);
  }
  for (int i = 0; i < 1000; ++i) {
    const double u = generator.uniform();
    EXPECT_TRUE(u >= 0 && u < 1);
  }
}

}  // namespace
}  // namespace fastvlm
