// SPDX-License-Identifier: Apache-2.0
#include "language/guided_decoding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "models.h"

namespace fastvlm {
namespace {

using Ids = std::vector<int32_t>;

// A guide that a test writes on the spot.
class Scripted : public Guide {
 public:
  using Script = std::function<Step(const Ids&)>;
  explicit Scripted(Script script) : script_(std::move(script)) {}
  Result<Step> next(std::span<const int32_t> ids) override {
    return script_({ids.begin(), ids.end()});
  }

 private:
  Script script_;
};

Guide::Step choose(const Ids& ids) {
  return {.keep = ids.size()};
}

class GuidedDecoding : public testing::Test {
 protected:
  Result<Decoded> answer(Scripted::Script script, const DecodingOptions& options) {
    const auto n = static_cast<int64_t>(prompt_.size());
    cache_ = KvCache(model_.config(), n + options.max_tokens);
    Scripted guide(std::move(script));
    return decode_guided(model_, cache_, test::embedded(model_, prompt_).data(), n, guide, options,
                         pool_);
  }
  Ids free_ids(const DecodingOptions& options) {
    const auto n = static_cast<int64_t>(prompt_.size());
    KvCache cache(model_.config(), n + options.max_tokens);
    return decode(model_, cache, test::embedded(model_, prompt_).data(), n, options, pool_)->ids;
  }
  // The likeliest id behind the prompt and `ids`.
  int32_t likeliest(const Ids& ids) {
    Ids all = prompt_;
    all.insert(all.end(), ids.begin(), ids.end());
    const auto logits = test::logits_of(model_, all, Qwen2::Logits::kLast, pool_);
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }

  ThreadPool pool_{2};
  Qwen2 model_ = test::make_tiny({.max_positions = 100}, pool_);
  KvCache cache_{model_.config(), 1};
  Ids prompt_ = {3, 14, 15, 9, 26};
};

TEST_F(GuidedDecoding, WithoutConstraintIsFreeDecoding) {
  for (const double temperature : {0.0, 1.5}) {
    const DecodingOptions options{.sampling = {.temperature = temperature, .seed = 5},
                                  .max_tokens = 12};
    const auto guided = answer(choose, options);
    ASSERT_TRUE(guided.ok());
    EXPECT_EQ(guided->ids, free_ids(options));
    EXPECT_EQ(guided->finish, FinishReason::kLength);
  }
}

TEST_F(GuidedDecoding, ForcedIdsStandAsIfTheyHadBeenChosen) {
  const Ids forced = {1, 2, 30, 4};
  const auto guided = answer(
      [&](const Ids& ids) -> Guide::Step {
        if (ids.size() == 2) return {.keep = 2, .forced = forced};
        if (ids.size() == 9) return {.keep = 9, .settled = 9, .finish = FinishReason::kStop};
        return choose(ids);
      },
      {.max_tokens = 20});
  ASSERT_TRUE(guided.ok());
  EXPECT_EQ(guided->finish, FinishReason::kStop);
  Ids expected;
  while (expected.size() < 9) {
    if (expected.size() == 2) expected.insert(expected.end(), forced.begin(), forced.end());
    expected.push_back(likeliest(expected));
  }
  EXPECT_EQ(guided->ids, expected);
}

TEST_F(GuidedDecoding, OnlyWhatIsAllowedIsChosen) {
  const auto odd = [](int32_t id) { return id % 2 == 1; };
  const auto guided =
      answer([&](const Ids& ids) -> Guide::Step { return {.keep = ids.size(), .allows = odd}; },
             {.sampling = {.temperature = 5, .seed = 2}, .max_tokens = 30});
  ASSERT_TRUE(guided.ok());
  EXPECT_EQ(guided->ids.size(), 30U);
  for (const int32_t id : guided->ids) EXPECT_TRUE(odd(id)) << id;
  const auto none = answer(
      [](const Ids& ids) -> Guide::Step {
        return {.keep = ids.size(), .allows = [](int32_t) { return false; }};
      },
      {.max_tokens = 5});
  EXPECT_EQ(none.status().code, Code::kInvalid);
}

// Taken back at every point of an answer, to every length, also to none: what follows is what
// follows there.
TEST_F(GuidedDecoding, WhatIsTakenBackLeavesNoTrace) {
  const Ids plain = free_ids({.max_tokens = 8});
  for (size_t at = 1; at <= 6; ++at) {
    for (size_t keep = 0; keep <= at; ++keep) {
      bool taken = false;
      const auto guided = answer(
          [&](const Ids& ids) -> Guide::Step {
            if (ids.size() != at || taken) return choose(ids);
            taken = true;
            return {.keep = keep};
          },
          {.max_tokens = 8});
      ASSERT_TRUE(guided.ok());
      EXPECT_EQ(guided->ids, plain) << at << " to " << keep;
    }
  }
}

// After a choice under a filter is taken back, the filter's marks are not left in the logits.
TEST_F(GuidedDecoding, AFilterEndsWithItsStep) {
  const int32_t best = likeliest({});
  int step = 0;
  const auto guided = answer(
      [&](const Ids& ids) -> Guide::Step {
        if (step++ == 0) return {.keep = 0, .allows = [=](int32_t id) { return id != best; }};
        if (step == 2) return {.keep = 0};
        return choose(ids);
      },
      {.max_tokens = 3});
  ASSERT_TRUE(guided.ok());
  EXPECT_EQ(guided->ids, free_ids({.max_tokens = 3}));
}

TEST_F(GuidedDecoding, SettledIdsAreDeliveredOnceAndMayInterrupt) {
  Ids delivered;
  DecodingOptions options{.max_tokens = 10};
  const auto by_threes = [](const Ids& ids) -> Guide::Step {
    return {.keep = ids.size(), .settled = ids.size() / 3 * 3};
  };
  options.on_token = [&](int32_t id) {
    delivered.push_back(id);
    return true;
  };
  const auto whole = answer(by_threes, options);
  ASSERT_TRUE(whole.ok());
  EXPECT_EQ(delivered, Ids(whole->ids.begin(), whole->ids.begin() + 9));
  delivered.clear();
  options.on_token = [&](int32_t id) {
    delivered.push_back(id);
    return delivered.size() < 4;
  };
  const auto stopped = answer(by_threes, options);
  ASSERT_TRUE(stopped.ok());
  EXPECT_EQ(stopped->finish, FinishReason::kInterrupted);
  EXPECT_EQ(stopped->ids, delivered);
  EXPECT_EQ(delivered.size(), 4U);
}

TEST_F(GuidedDecoding, NeverGoesBeyondItsTokens) {
  const auto guided = answer(
      [](const Ids& ids) -> Guide::Step {
        return {.keep = ids.size(), .settled = ids.size(), .forced = {1, 2, 3}};
      },
      {.max_tokens = 10});
  ASSERT_TRUE(guided.ok());
  EXPECT_EQ(guided->ids.size(), 9U);
  EXPECT_EQ(guided->finish, FinishReason::kLength);
}

// Forced ids are not the model's words: they are not penalised.
TEST_F(GuidedDecoding, PenaltiesKnowChosenIds) {
  const int32_t best = likeliest({1, 2, 3});
  const auto guided = answer(
      [&](const Ids& ids) -> Guide::Step {
        if (ids.empty()) return {.keep = 0, .forced = {best, 1, 2, 3}};
        return choose(ids);
      },
      {.sampling = {.repetition_penalty = 1e6}, .max_tokens = 20});
  ASSERT_TRUE(guided.ok());
  const Ids chosen(guided->ids.begin() + 4, guided->ids.end());
  EXPECT_EQ(std::set<int32_t>(chosen.begin(), chosen.end()).size(), chosen.size());
  EXPECT_EQ(chosen.front(), likeliest({best, 1, 2, 3}));
}

}  // namespace
}  // namespace fastvlm
