// SPDX-License-Identifier: Apache-2.0
// Drafts change no answer: whatever is guessed, however long, under every kind of decoding. Then
// what the guesses are made of.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "kernels/table.h"
#include "language/guided_decoding.h"
#include "models.h"
#include "support/test_length.h"

namespace fastvlm {
namespace {

using Ids = std::vector<int32_t>;

constexpr double kCheap = 0.01;  // a row: nearly every guess pays

Ids random_ids(Generator& random, size_t count, int32_t vocab) {
  Ids ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(random.next() % static_cast<uint64_t>(vocab));
  return ids;
}

// Guides as a test draws them: pieces that are forced, filters, choices that are taken back once,
// settled as it pleases.
class DrawnGuide : public Guide {
 public:
  DrawnGuide(uint64_t seed, size_t length) : random_(seed), length_(length) {}

  Result<Step> next(std::span<const int32_t> ids) override {
    Step step{.keep = ids.size()};
    if (ids.size() >= length_) {
      step.settled = ids.size();
      step.finish = FinishReason::kStop;
      return step;
    }
    const uint64_t kind = random_.next() % 8;
    if (kind == 0) {
      step.forced = random_ids(random_, 1 + random_.next() % 5, 40);
    } else if (kind == 1 && taken_back_ < 20) {
      ++taken_back_;
      step.keep -= std::min(ids.size() - settled_, size_t{random_.next() % 6});
    } else if (kind == 2) {
      const auto odd = static_cast<int32_t>(random_.next() % 2);
      step.allows = [odd](int32_t id) { return id % 2 == odd; };
    } else if (kind == 3) {
      settled_ = ids.size();
    }
    step.settled = std::min(settled_, step.keep);
    return step;
  }

 private:
  Generator random_;
  size_t length_;
  size_t settled_ = 0;
  int taken_back_ = 0;
};

// Answers one prompt after another, with and without drafts.
class Drafts : public testing::Test {
 protected:
  static constexpr int64_t kMost = 32;

  Decoded answer(const Ids& prompt, DecodingOptions options, Drafter* drafter,
                 std::optional<uint64_t> guide_seed = {}) {
    const auto n = static_cast<int64_t>(prompt.size());
    options.max_tokens = kMost;
    options.drafter = drafter;
    if (drafter != nullptr) drafter->begin(prompt);
    streamed_.clear();
    options.on_token = [this](int32_t id) {
      streamed_.push_back(id);
      return true;
    };
    cache_ = KvCache(model_->config(), n + kMost);
    const auto rows = test::embedded(*model_, prompt);
    Result<Decoded> decoded = [&]() -> Result<Decoded> {
      if (!guide_seed) return decode(*model_, cache_, rows.data(), n, options, pool_);
      DrawnGuide guide(*guide_seed, 20);
      return decode_guided(*model_, cache_, rows.data(), n, guide, options, pool_);
    }();
    EXPECT_TRUE(decoded.ok());
    return std::move(*decoded);
  }

  // Everything that a caller sees but the counts.
  void expect_same(const Ids& prompt, const DecodingOptions& options, Drafter& drafter,
                   std::optional<uint64_t> guide_seed = {}) {
    const Decoded plain = answer(prompt, options, nullptr, guide_seed);
    const Ids streamed = streamed_;
    const Decoded drafted = answer(prompt, options, &drafter, guide_seed);
    EXPECT_EQ(drafted.ids, plain.ids);
    EXPECT_EQ(drafted.finish, plain.finish);
    EXPECT_EQ(streamed_, streamed);
    EXPECT_GE(cache_.length(), static_cast<int64_t>(prompt.size()));
    EXPECT_LE(cache_.length(), static_cast<int64_t>(prompt.size() + drafted.ids.size()));
    EXPECT_LE(drafted.drafts.accepted, drafted.drafts.drafted);
    passes_ += drafted.drafts.passes;
    plain_passes_ += plain.drafts.passes;
    accepted_ += drafted.drafts.accepted;
    refused_ += drafted.drafts.drafted - drafted.drafts.accepted;
  }

  // Some answers, to learn from.
  std::shared_ptr<const DraftTable> learnt_table(Generator& random, int texts) {
    std::vector<Ids> answers;
    for (int i = 0; i < texts; ++i) {
      answers.push_back(answer(random_ids(random, 6, 40), {}, nullptr).ids);
    }
    return std::make_shared<const DraftTable>(DraftTable::learn(answers, {.least = 2}));
  }

  ThreadPool pool_{1};
  std::optional<Qwen2> model_ = test::make_tiny({.bits = 8}, pool_, Arithmetic::kInt8);
  KvCache cache_{model_->config(), 1};
  Ids streamed_;
  int64_t passes_ = 0, plain_passes_ = 0, accepted_ = 0, refused_ = 0;
};

// Penalties, temperatures, ends, guides: drawn anew for each of thousands of prompts.
TEST_F(Drafts, ChangeNoAnswer) {
  Generator random(1);
  Drafter learnt(learnt_table(random, 200), kCheap);
  Drafter looking({}, kCheap);
  Drafter measuring(learnt_table(random, 50));
  const int prompts = test::test_length() == "fast" ? 300 : 3000;
  for (int i = 0; i < prompts; ++i) {
    DecodingOptions options;
    if (i % 3 == 1) options.sampling.repetition_penalty = 1.3;
    if (i % 4 == 1) options.sampling.dry_multiplier = 0.8;
    if (i % 5 == 1) {
      options.sampling.temperature = 0.7;
      options.sampling.seed = random.next();
    }
    options.stop_on_loop = i % 2 == 0;
    options.stop_ids = {static_cast<int32_t>(random.next() % 40)};
    const Ids prompt = random_ids(random, 1 + random.next() % 12, 40);
    Drafter* const drafter = std::array{&learnt, &looking, &measuring}[random.next() % 3];
    std::optional<uint64_t> guide;
    if (i % 2 == 1) guide = random.next();
    expect_same(prompt, options, *drafter, guide);
    ASSERT_FALSE(testing::Test::HasFailure()) << "prompt " << i;
  }
  // Both ways were gone often.
  EXPECT_GT(accepted_, prompts / 4);
  EXPECT_GT(refused_, prompts / 4);
  EXPECT_LT(passes_, plain_passes_);
}

TEST_F(Drafts, GuessesThatAreRightSavePasses) {
  Generator random(2);
  const Ids prompt = random_ids(random, 6, 40);
  const Decoded plain = answer(prompt, {}, nullptr);
  Ids whole = prompt;
  whole.insert(whole.end(), plain.ids.begin(), plain.ids.end());
  Drafter drafter(std::make_shared<const DraftTable>(
                      DraftTable::learn({10, whole}, {.entries = 1000, .least = 1})),
                  kCheap);
  const Decoded drafted = answer(prompt, {}, &drafter);
  EXPECT_EQ(drafted.ids, plain.ids);
  EXPECT_EQ(plain.drafts.passes, kMost - 1);
  EXPECT_LE(drafted.drafts.passes, kMost / 3);
  EXPECT_GE(drafted.drafts.accepted, kMost / 2);
}

// The products of a model in f32 sum a row that runs alone in an order of their own.
TEST_F(Drafts, AreLeftOutWhereTheyMightChangeANumber) {
  EXPECT_TRUE(model_->rows_are_independent());
  Generator random(3);
  Drafter drafter(learnt_table(random, 50), kCheap);
  model_ = test::make_tiny({.bits = 8}, pool_);
  EXPECT_FALSE(model_->rows_are_independent());
  const Decoded drafted = answer(random_ids(random, 6, 40), {}, &drafter);
  EXPECT_EQ(drafted.drafts.drafted, 0);
  EXPECT_EQ(drafted.drafts.passes, kMost - 1);
}

// The ground that all of this stands on, for every kernel set of this machine: one row at a time,
// and in passes of all sizes, behind enough rows that attention works in several blocks.
TEST(Rows, AreTheSameInPassesOfAllSizes) {
  const std::string usual = current_isa();
  for (const std::string& isa : available_isas()) {
    ASSERT_TRUE(select_isa(isa).ok());
    ThreadPool pool(2);
    for (const int bits : {8, 4}) {
      const Qwen2 model =
          bits == 8 ? test::make_tiny({.bits = 8}, pool, Arithmetic::kInt8)
                    : test::load_qwen2(std::filesystem::path(FASTVLM_SOURCE_DIR) / "models/demo",
                                       pool, Arithmetic::kInt8);
      if (!model.rows_are_independent()) continue;  // no drafts with this set
      Generator random(4);
      const auto vocab = static_cast<size_t>(model.config().vocab_size);
      const Ids ids = random_ids(random, 270, static_cast<int32_t>(vocab));
      const auto rows = test::embedded(model, ids);
      const auto all = test::logits_of(model, ids, Qwen2::Logits::kAll, pool);
      KvCache cache(model.config(), 270);
      std::vector<float> logits;
      for (size_t at = 0, size = 1; at < ids.size(); at += size, size = size % 13 + 1) {
        size = std::min(size, ids.size() - at);
        const auto count = static_cast<int64_t>(size);
        const float* from = rows.data() + at * static_cast<size_t>(model.config().hidden_size);
        ASSERT_TRUE(model.forward(cache, from, count, Qwen2::Logits::kAll, logits, pool).ok());
        ASSERT_EQ(std::memcmp(logits.data(), all.data() + at * vocab, logits.size() * 4), 0)
            << isa << ", " << bits << " bits, " << size << " rows from " << at;
      }
    }
  }
  ASSERT_TRUE(select_isa(usual).ok());
}

TEST(DraftTable, KnowsWhatFollowsTheLongestContext) {
  const std::vector<Ids> texts(5, {1, 2, 3, 4, 9, 2, 3, 5});
  const DraftTable table = DraftTable::learn(texts, {});
  EXPECT_EQ(table.next(Ids{1, 2, 3})->id, 4);
  EXPECT_EQ(table.next(Ids{9, 2, 3})->id, 5);
  EXPECT_EQ(table.next(Ids{7, 7, 4})->id, 9);
  EXPECT_NEAR(table.next(Ids{4})->chance, 5.0 / 6, 0.001);
  EXPECT_FALSE(table.next(Ids{7}));
  EXPECT_FALSE(table.next(Ids{5}));  // nothing ever followed
  EXPECT_FALSE(table.next(Ids{}));
  EXPECT_EQ(DraftTable::learn(texts, {.least = 6}).size(), 2U);  // 2 and 3 stand there ten times
  EXPECT_EQ(DraftTable::learn(texts, {.entries = 3}).size(), 3U);
  EXPECT_EQ(DraftTable::learn({}, {}).size(), 0U);
}

class DraftFile : public testing::Test {
 protected:
  std::filesystem::path path() const { return folder_ / "drafts.safetensors"; }
  void write(std::vector<int32_t> values, std::vector<int64_t> shape,
             const std::string& format = "fastvlm drafts 1") {
    const TensorToWrite tensor{"drafts", DType::kI32, std::move(shape),
                               std::as_bytes(std::span(values))};
    ASSERT_TRUE(
        write_safetensors(path(), {&tensor, 1}, {{"format", format}, {"vocabulary", "v"}}).ok());
  }
  std::string refusal(const std::string& vocabulary = "v") {
    const auto table = DraftTable::load(path(), vocabulary);
    return table.ok() ? "" : table.status().message;
  }

  test::TemporaryFolder folder_;
};

TEST_F(DraftFile, IsReadAsItWasWritten) {
  const DraftTable table = DraftTable::learn(std::vector<Ids>(5, {1, 2, 3, 4, 9, 2, 3, 5}), {});
  ASSERT_TRUE(table.save(path(), "v").ok());
  const auto read = DraftTable::load(path(), "v");
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->size(), table.size());
  EXPECT_EQ(read->next(Ids{1, 2, 3})->id, 4);
  EXPECT_NE(refusal("another").find("tokenizer"), std::string::npos);
}

TEST_F(DraftFile, IsRefusedWhenItIsNone) {
  EXPECT_FALSE(DraftTable::load(path(), "v").ok());  // not there
  write({-1, -1, -1, 1, 2, 500}, {1, 6});
  EXPECT_EQ(refusal(), "");
  write({-1, -1, -1, 1, 2, 500}, {1, 6}, "another");
  EXPECT_NE(refusal().find("format"), std::string::npos);
  write({-1, -1, -1, 1, 2, 500}, {2, 3});
  EXPECT_NE(refusal(), "");
  write({-1, -1, -1, 1, -2, 500}, {1, 6});
  EXPECT_NE(refusal(), "");
  write({-1, -1, -1, 1, 2, 1001}, {1, 6});
  EXPECT_NE(refusal(), "");
  write({-1, -1, -1, 1, 2, 500, -1, -1, -1, 1, 2, 500}, {2, 6});  // twice
  EXPECT_NE(refusal().find("row 1"), std::string::npos);
}

// A drafter and what comes of its guesses, without a model.
class Drafting : public testing::Test {
 protected:
  // The next answer of ever the same text, when the model says so, or when it never does.
  int64_t guesses(Drafter& drafter, bool right, int passes) {
    int64_t drafted = 0;
    for (int i = 0; i < passes; ++i) {
      const Ids draft = drafter.draft(text_, 8, 1);
      drafted += static_cast<int64_t>(draft.size());
      for (size_t j = 0; j < draft.size() && (j == 0 || right); ++j) drafter.verified(right);
    }
    return drafted;
  }

  Ids text_ = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2, 3, 4};
};

TEST_F(Drafting, GoesOnAsTheTextDidBefore) {
  Drafter drafter({}, kCheap);
  drafter.begin({});
  const Ids draft = drafter.draft(text_, 5, 1);
  EXPECT_EQ(draft, Ids({5, 6, 7, 8, 9}));
  drafter.begin(Ids{1, 2, 3, -200, 4, 5, 6});  // an image among the text
  EXPECT_EQ(drafter.draft(Ids{3, 1, 2, 3}, 5, 1), Ids());
  EXPECT_EQ(drafter.draft(Ids{4, 5}, 1, 1), Ids({6}));
}

TEST_F(Drafting, EndsWhereItDoesNotPay) {
  Drafter drafter({}, 0.9);
  drafter.begin({});
  EXPECT_EQ(guesses(drafter, false, 1), 0);
}

TEST_F(Drafting, GivesUpWhatIsAlwaysWrongAndTriesAgain) {
  Drafter drafter({}, 0.1);
  drafter.begin({});
  EXPECT_GT(guesses(drafter, false, 30), 0);
  EXPECT_LT(guesses(drafter, false, 1000), 100);  // rows at a tenth of a pass: below one percent
  EXPECT_GT(guesses(drafter, false, 3000), 0);
  EXPECT_GT(guesses(drafter, true, 1000), 3000);
}

TEST_F(Drafting, MeasuresWhatARowCosts) {
  Drafter drafter;
  drafter.begin({});
  EXPECT_EQ(drafter.draft(text_, 8, 1), Ids());  // nothing is known yet
  drafter.passed(1, 0.010);
  EXPECT_NE(drafter.draft(text_, 8, 1), Ids());
  for (int i = 0; i < 200; ++i) drafter.passed(5, 0.030);
  EXPECT_NEAR(drafter.row_cost(), 0.5, 0.01);
  drafter.passed(5, 1000);  // held up by another program
  EXPECT_LT(drafter.row_cost(), 0.6);
}

}  // namespace
}  // namespace fastvlm
