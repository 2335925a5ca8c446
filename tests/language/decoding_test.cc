// SPDX-License-Identifier: Apache-2.0
#include "language/decoding.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <set>

#include "models.h"

namespace fastvlm {
namespace {

class Decoding : public testing::Test {
 protected:
  // decode() of `prompt` in a cache of just the right size.
  Result<Decoded> answer(const std::vector<int32_t>& prompt, const DecodingOptions& options) {
    const auto n = static_cast<int64_t>(prompt.size());
    cache_ = KvCache(model_.config(), n + options.max_tokens);
    return decode(model_, cache_, test::embedded(model_, prompt).data(), n, options, pool_);
  }

  ThreadPool pool_{2};
  Qwen2 model_ = test::make_tiny({.max_positions = 100}, pool_);
  KvCache cache_{model_.config(), 1};
  std::vector<int32_t> prompt_ = {3, 14, 15, 9, 26};
};

TEST_F(Decoding, GreedyIsTheBestOfTheWholeSequenceEachTime) {
  const auto decoded = answer(prompt_, {.max_tokens = 12});
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->finish, FinishReason::kLength);
  std::vector<int32_t> sequence = prompt_;
  for (const int32_t id : decoded->ids) {
    const auto logits = test::logits_of(model_, sequence, Qwen2::Logits::kLast, pool_);
    EXPECT_EQ(std::max_element(logits.begin(), logits.end()) - logits.begin(), id);
    sequence.push_back(id);
  }
  EXPECT_EQ(sequence.size(), prompt_.size() + 12);
  EXPECT_EQ(cache_.length(), static_cast<int64_t>(sequence.size()) - 1);
  EXPECT_GT(decoded->prefill_seconds, 0);
  EXPECT_GT(decoded->decode_seconds, 0);
}

TEST_F(Decoding, StopsAtAStopId) {
  const auto free = answer(prompt_, {.max_tokens = 12});
  ASSERT_TRUE(free.ok());
  const int32_t stop = free->ids[5];
  const auto first = std::find(free->ids.begin(), free->ids.end(), stop);
  const auto decoded = answer(prompt_, {.max_tokens = 12, .stop_ids = {39, stop}});
  ASSERT_TRUE(decoded.ok());
  const std::vector<int32_t> before(free->ids.begin(), first);
  if (std::find(before.begin(), before.end(), 39) == before.end()) {
    EXPECT_EQ(decoded->ids, before);
  }
  EXPECT_EQ(decoded->finish, FinishReason::kStop);
  EXPECT_EQ(cache_.length(), static_cast<int64_t>(prompt_.size() + decoded->ids.size()));
}

TEST_F(Decoding, StreamsAndCanBeInterrupted) {
  std::vector<int32_t> streamed;
  DecodingOptions options{.max_tokens = 12};
  options.on_token = [&](int32_t id) {
    streamed.push_back(id);
    return streamed.size() < 4;
  };
  const auto decoded = answer(prompt_, options);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->finish, FinishReason::kInterrupted);
  EXPECT_EQ(decoded->ids, streamed);
  EXPECT_EQ(streamed.size(), 4U);
}

TEST_F(Decoding, ContinuesWhatTheCacheHolds) {
  const auto whole = answer(prompt_, {.max_tokens = 8});
  KvCache cache(model_.config(), 20);
  const auto rows = test::embedded(model_, prompt_);
  std::vector<float> logits;
  ASSERT_TRUE(model_.forward(cache, rows.data(), 3, Qwen2::Logits::kNone, logits, pool_).ok());
  const auto rest = decode(model_, cache, rows.data() + 3 * model_.config().hidden_size, 2,
                           {.max_tokens = 8}, pool_);
  ASSERT_TRUE(whole.ok() && rest.ok());
  EXPECT_EQ(whole->ids, rest->ids);
}

TEST_F(Decoding, ASeedFixesTheAnswer) {
  const auto sampled = [&](uint64_t seed) {
    return answer(prompt_, {.sampling = {.temperature = 1.5, .seed = seed}, .max_tokens = 20})->ids;
  };
  EXPECT_EQ(sampled(7), sampled(7));
  EXPECT_NE(sampled(7), sampled(8));
}

TEST_F(Decoding, ALargePenaltyForbidsRepetition) {
  const std::vector<int32_t> penalized(prompt_.begin(), prompt_.end());
  const auto decoded = answer(
      prompt_,
      {.sampling = {.repetition_penalty = 1e6}, .max_tokens = 15, .penalized_ids = penalized});
  ASSERT_TRUE(decoded.ok());
  std::set<int32_t> all(prompt_.begin(), prompt_.end());
  all.insert(decoded->ids.begin(), decoded->ids.end());
  EXPECT_EQ(all.size(), prompt_.size() + 15);
}

TEST_F(Decoding, RefusesWhatDoesNotFitTheContextBeforeAnyWork) {
  bool ran = false;
  DecodingOptions options{.max_tokens = 96};
  options.on_token = [&](int32_t) { return ran = true; };
  const auto refused = answer(prompt_, options);  // 5 + 96 > 100
  ASSERT_EQ(refused.status().code, Code::kLimit);
  EXPECT_FALSE(ran);
  EXPECT_EQ(cache_.length(), 0);
  for (const char* number : {"5", "96", "100"}) {
    EXPECT_NE(refused.status().message.find(number), std::string::npos) << refused.status().message;
  }
  EXPECT_FALSE(refused.status().hint.empty());
  EXPECT_TRUE(answer(prompt_, {.max_tokens = 95, .stop_ids = {0, 1, 2}}).ok());
  EXPECT_EQ(model_.check_context(1, std::numeric_limits<int64_t>::max()).code, Code::kLimit);
  EXPECT_EQ(model_.check_context(std::numeric_limits<int64_t>::max(), 1).code, Code::kLimit);
  EXPECT_EQ(model_.check_context(1, 0).code, Code::kUsage);
}

TEST_F(Decoding, RefusesBadRequests) {
  const auto rows = test::embedded(model_, prompt_);
  KvCache small(model_.config(), 10);
  EXPECT_EQ(decode(model_, small, rows.data(), 5, {.max_tokens = 6}, pool_).status().code,
            Code::kUsage);
  EXPECT_EQ(small.length(), 0);
  EXPECT_EQ(answer(prompt_, {.sampling = {.top_p = 2}}).status().code, Code::kUsage);
  EXPECT_EQ(answer(prompt_, {.max_tokens = 5, .penalized_ids = {40}}).status().code, Code::kUsage);
}

TEST_F(Decoding, NumbersThatAreNoneAreAnError) {
  auto rows = test::embedded(model_, prompt_);
  rows[7] = std::numeric_limits<float>::quiet_NaN();
  KvCache cache(model_.config(), 10);
  EXPECT_EQ(decode(model_, cache, rows.data(), 5, {.max_tokens = 5}, pool_).status().code,
            Code::kInvalid);
}

TEST_F(Decoding, EndsAnAnswerThatOnlyRepeatsItself) {
  // A model that likes a token over all others: greedy decoding of a random one falls into a cycle
  // sooner or later; with 95 tokens and 40 ids it does.
  const auto free = answer(prompt_, {.max_tokens = 95});
  const auto ended = answer(prompt_, {.max_tokens = 95, .stop_on_loop = true});
  ASSERT_TRUE(free.ok() && ended.ok());
  if (ended->finish == FinishReason::kLoop) {
    EXPECT_LT(ended->ids.size(), free->ids.size());
    EXPECT_TRUE(ends_in_loop(ended->ids));
  } else {
    EXPECT_EQ(ended->ids, free->ids);
  }
  EXPECT_EQ(free->finish, FinishReason::kLength);
}

TEST(Loop, KeepsItsFirstRound) {
  std::vector<int32_t> ids = {7, 8, 9};
  for (int i = 0; i < 40; ++i) ids.push_back(i % 5);
  ASSERT_TRUE(ends_in_loop(ids));
  EXPECT_EQ(length_before_repeats(ids), 8U);
  EXPECT_EQ(length_before_repeats(std::vector<int32_t>(50, 1)), 1U);
  EXPECT_EQ(length_before_repeats(std::vector<int32_t>{1, 2, 1, 2}), 4U);  // no loop
  EXPECT_EQ(length_before_repeats({}), 0U);
}

TEST(Loop, IsABlockFourTimesOverAtLeast32Ids) {
  const auto repeated = [](size_t block, size_t count) {
    std::vector<int32_t> ids = {901, 902, 903};
    for (size_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(i % block));
    return ids;
  };
  EXPECT_TRUE(ends_in_loop(repeated(1, 32)));
  EXPECT_FALSE(ends_in_loop(repeated(1, 31)));
  EXPECT_TRUE(ends_in_loop(repeated(5, 32)));
  EXPECT_TRUE(ends_in_loop(repeated(20, 80)));
  EXPECT_FALSE(ends_in_loop(repeated(20, 79)));
  EXPECT_TRUE(ends_in_loop(repeated(64, 256)));
  EXPECT_FALSE(ends_in_loop(repeated(65, 260)));
  EXPECT_FALSE(ends_in_loop({}));
  std::vector<int32_t> counting(300);
  std::iota(counting.begin(), counting.end(), 0);
  EXPECT_FALSE(ends_in_loop(counting));
}

}  // namespace
}  // namespace fastvlm
