// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "language/decoding.h"
#include "models.h"

namespace fastvlm {
namespace {

Result<Decoded> search(const Qwen2& model, const std::vector<int32_t>& prompt, int beams,
                       const DecodingOptions& options, ThreadPool& pool) {
  const auto n = static_cast<int64_t>(prompt.size());
  KvCache cache(model.config(), n + options.max_tokens);
  auto found =
      beam_search(model, cache, test::embedded(model, prompt).data(), n, beams, options, pool);
  EXPECT_TRUE(!found.ok() || cache.length() == n);
  return found;
}

std::vector<nlohmann::json> golden_cases() {
  std::ifstream file(test::golden("decoding") / "beams.json");
  return nlohmann::json::parse(file).get<std::vector<nlohmann::json>>();
}

DecodingOptions options_of(const nlohmann::json& item) {
  DecodingOptions options;
  options.max_tokens = item["max_tokens"];
  options.stop_ids = item["stop_ids"].get<std::vector<int32_t>>();
  options.sampling.repetition_penalty = item["repetition_penalty"];
  if (item["penalize_prompt"]) options.penalized_ids = item["prompt"].get<std::vector<int32_t>>();
  return options;
}

TEST(BeamSearch, FindsWhatHuggingFaceFinds) {
  ThreadPool pool(2);
  const Qwen2 model = test::load_qwen2(test::golden("stories"), pool);
  const auto cases = golden_cases();
  ASSERT_GT(cases.size(), 300U);
  for (const auto& item : cases) {
    const auto found = search(model, item["prompt"].get<std::vector<int32_t>>(), item["beams"],
                              options_of(item), pool);
    ASSERT_TRUE(found.ok()) << found.status().message;
    EXPECT_EQ(found->ids, item["ids"].get<std::vector<int32_t>>()) << item.dump();
    EXPECT_EQ(found->finish == FinishReason::kStop, item["stopped"].get<bool>()) << item.dump();
  }
}

// With next to no temperature a draw is the maximum.
TEST(BeamSearch, SamplingAtLowTemperatureIsTheSearch) {
  ThreadPool pool(2);
  const Qwen2 model = test::load_qwen2(test::golden("stories"), pool);
  int compared = 0;
  for (const auto& item : golden_cases()) {
    // Log probabilities over the temperature of the penalised scores are no longer theirs.
    if (item["smallest_margin"] < 3e-3 || item["max_tokens"] < 20) continue;
    DecodingOptions options = options_of(item);
    options.sampling.temperature = 1e-5;
    const auto found =
        search(model, item["prompt"].get<std::vector<int32_t>>(), item["beams"], options, pool);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->ids, item["ids"].get<std::vector<int32_t>>()) << item.dump();
    ++compared;
  }
  EXPECT_GT(compared, 10);
}

double log_probability(const std::vector<float>& logits, int32_t id) {
  double total = 0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit));
  return static_cast<double>(logits[static_cast<size_t>(id)]) - std::log(total);
}

struct Best {
  double mean = -1e30;
  std::vector<int32_t> ids;
};

// Tries every answer: the best mean log probability, the stop token (0) counted.
void enumerate(const Qwen2& model, std::vector<int32_t>& sequence, size_t prompt, double sum,
               size_t max_tokens, Best& best, ThreadPool& pool) {
  const auto logits = test::logits_of(model, sequence, Qwen2::Logits::kLast, pool);
  for (int32_t id = 0; id < model.config().vocab_size; ++id) {
    const double next = sum + log_probability(logits, id);
    const size_t length = sequence.size() - prompt + 1;
    const std::vector<int32_t> before(sequence.begin() + static_cast<std::ptrdiff_t>(prompt),
                                      sequence.end());
    sequence.push_back(id);
    if (id == 0 || length == max_tokens) {
      if (next / static_cast<double>(length) > best.mean) {
        best = {next / static_cast<double>(length), before};
        if (id != 0) best.ids.push_back(id);
      }
    } else {
      enumerate(model, sequence, prompt, next, max_tokens, best, pool);
    }
    sequence.pop_back();
  }
}

TEST(BeamSearch, WithEnoughBeamsFindsTheBestOfAll) {
  ThreadPool pool(1);
  for (const uint64_t seed : {1U, 2U, 3U, 4U, 5U, 6U}) {
    const Qwen2 model = test::make_tiny({.layers = 1, .vocab = 5, .seed = seed}, pool);
    std::vector<int32_t> sequence = {1, 2, static_cast<int32_t>(seed % 5)};
    const std::vector<int32_t> prompt = sequence;
    Best best;
    enumerate(model, sequence, prompt.size(), 0, 3, best, pool);
    const auto found = search(model, prompt, 64, {.max_tokens = 3, .stop_ids = {0}}, pool);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(found->ids, best.ids) << "seed " << seed;
  }
}

TEST(BeamSearch, OneBeamIsGreedy) {
  ThreadPool pool(2);
  const Qwen2 model = test::make_tiny({}, pool);
  const std::vector<int32_t> prompt = {1, 2, 3};
  const auto found = search(model, prompt, 1, {.max_tokens = 10}, pool);
  KvCache cache(model.config(), 13);
  const auto greedy =
      decode(model, cache, test::embedded(model, prompt).data(), 3, {.max_tokens = 10}, pool);
  ASSERT_TRUE(found.ok() && greedy.ok());
  EXPECT_EQ(found->ids, greedy->ids);
}

// One beam, one token: two ids are drawn without replacement and the likelier one is taken.
TEST(BeamSearch, DrawsWithoutReplacement) {
  ThreadPool pool(1);
  const Qwen2 model = test::make_tiny({.layers = 1, .vocab = 6, .seed = 9}, pool);
  const std::vector<int32_t> prompt = {2, 4};
  const double temperature = 3;
  const auto logits = test::logits_of(model, prompt, Qwen2::Logits::kLast, pool);
  std::vector<double> p(6);
  double total = 0;
  for (size_t i = 0; i < 6; ++i)
    total += p[i] = std::exp(static_cast<double>(logits[i]) / temperature);
  for (double& value : p) value /= total;

  const int draws = 4000;
  std::vector<int> counts(6);
  for (int i = 0; i < draws; ++i) {
    const SamplingOptions sampling{.temperature = temperature, .seed = static_cast<uint64_t>(i)};
    const auto found = search(model, prompt, 1, {.sampling = sampling, .max_tokens = 1}, pool);
    ASSERT_TRUE(found.ok());
    ++counts[static_cast<size_t>(found->ids.at(0))];
  }
  double chi_square = 0;
  for (size_t i = 0; i < 6; ++i) {
    double probability = 0;
    for (size_t j = 0; j < 6; ++j) {
      if (p[j] < p[i]) probability += p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j]);
    }
    const double expected = probability * draws;
    if (expected == 0) {
      EXPECT_EQ(counts[i], 0);
    } else {
      chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
    }
  }
  EXPECT_LT(chi_square, 18.5);  // 99.9 % with four degrees of freedom
}

TEST(BeamSearch, RefusesBadRequests) {
  ThreadPool pool(1);
  const Qwen2 model = test::make_tiny({.max_positions = 100}, pool);
  EXPECT_EQ(search(model, {1}, 0, {.max_tokens = 3}, pool).status().code, Code::kUsage);
  EXPECT_EQ(search(model, {1}, 65, {.max_tokens = 3}, pool).status().code, Code::kUsage);
  EXPECT_EQ(search(model, {1, 2}, 2, {.max_tokens = 99}, pool).status().code, Code::kLimit);
}

}  // namespace
}  // namespace fastvlm
