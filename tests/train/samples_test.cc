// SPDX-License-Identifier: Apache-2.0
#include "train/samples.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "support/files.h"
#include "support/small_tokenizer.h"
#include "text/conversation.h"

namespace fastvlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr int64_t kImageTokens = 10;

Tokenizer tokenizer() {
  auto made = Tokenizer::from_json(test::small_tokenizer().dump(), "t");
  EXPECT_TRUE(made.ok());
  return std::move(*made);
}

TrainingSample sample_of(const std::vector<LlavaExchange>& exchanges) {
  auto sample = make_sample({"d:1", "a.png", exchanges}, tokenizer(), kImageTokens);
  EXPECT_TRUE(sample.ok());
  return std::move(*sample);
}

// The text of the supervised ids.
std::string supervised(const TrainingSample& sample) {
  std::vector<TokenId> ids;
  for (const TrainingTarget& target : sample.targets) ids.push_back(target.id);
  return tokenizer().decode(ids, false);
}

// The ids as rows of the decoder: the image takes its tokens' rows, -200 each.
std::vector<TokenId> spliced(const TrainingSample& sample) {
  std::vector<TokenId> rows;
  for (const TokenId id : sample.ids)
    rows.insert(rows.end(), id == kImageToken ? kImageTokens : 1, id);
  return rows;
}

TEST(Samples, TheAnswerAndItsEndAreSupervisedAndNothingElse) {
  const TrainingSample sample = sample_of({{"hello?", "oh <image> no\n"}});
  EXPECT_EQ(supervised(sample), "oh <image> no\n<|im_end|>\n");
  const std::vector<TokenId> rows = spliced(sample);
  EXPECT_EQ(sample.length, static_cast<int64_t>(rows.size()));
  for (const TrainingTarget& target : sample.targets) {
    EXPECT_EQ(rows[static_cast<size_t>(target.row) + 1], target.id);
  }
  EXPECT_EQ(sample.targets.back().row, sample.length - 2);
  // The prompt is the one that captions are asked for with.
  const auto prompt = conversation_ids(tokenizer(), "hello?", PromptOrder::kImageFirst);
  ASSERT_TRUE(prompt.ok());
  EXPECT_TRUE(std::equal(prompt->begin(), prompt->end(), sample.ids.begin()));
  EXPECT_EQ(sample.targets.front().row,
            static_cast<int32_t>(prompt->size()) - 1 + static_cast<int32_t>(kImageTokens) - 1);
}

TEST(Samples, TextNeverBecomesAControlToken) {
  const TrainingSample sample = sample_of({{"<|im_end|>", "<|im_start|>"}});
  EXPECT_EQ(std::count(sample.ids.begin(), sample.ids.end(), test::kFirstAdded + 1), 3);
  EXPECT_EQ(std::count(sample.ids.begin(), sample.ids.end(), test::kFirstAdded + 2), 3);
}

TEST(Samples, EveryAnswerOfAConversationIsSupervised) {
  const TrainingSample sample = sample_of({{"one?", "two"}, {"three?", "four"}});
  EXPECT_EQ(supervised(sample), "two<|im_end|>\nfour<|im_end|>\n");
  const std::string text = tokenizer().decode(sample.ids, false);
  EXPECT_THAT(text, HasSubstr("two<|im_end|>\n<|im_start|>user\nthree?<|im_end|>\n"
                              "<|im_start|>assistant\nfour<|im_end|>\n"));
  const std::vector<TokenId> rows = spliced(sample);
  for (const TrainingTarget& target : sample.targets) {
    EXPECT_EQ(rows[static_cast<size_t>(target.row) + 1], target.id);
  }
}

TEST(Samples, TruncationNeverCutsTheImage) {
  const TrainingSample whole = sample_of({{"hello?", "abcdef"}});
  for (int64_t length = 1; length <= whole.length; ++length) {
    TrainingSample cut = whole;
    truncate_sample(length, kImageTokens, cut);
    EXPECT_EQ(std::count(cut.ids.begin(), cut.ids.end(), kImageToken), 1);
    const auto left = static_cast<size_t>(
        std::max<int64_t>(0, length - (whole.length - static_cast<int64_t>(whole.targets.size()))));
    EXPECT_EQ(cut.targets.size(), left);
    if (left > 0) {
      EXPECT_EQ(cut.length, length);
    }
  }
}

class SampleFile : public testing::Test {
 protected:
  SampleFile() {
    std::ofstream(folder_ / "a.png") << "x";
    options_.images = folder_.path();
    options_.image_tokens = kImageTokens;
    options_.max_length = 1000;
  }
  void add(const std::string& image, const std::string& answer) {
    std::ofstream(folder_ / "d.jsonl", std::ios::app)
        << R"({"image": ")" << image
        << R"(", "conversations": [{"from": "human", "value": "<image>\nQ"}, {"from": "gpt", "value": ")"
        << answer << "\"}]}\n";
  }
  SampleSet read() {
    auto set = read_samples(folder_ / "d.jsonl", tokenizer(), options_);
    EXPECT_TRUE(set.ok()) << set.status().message;
    return set.ok() ? std::move(*set) : SampleSet{};
  }

  test::TemporaryFolder folder_;
  SampleOptions options_;
};

TEST_F(SampleFile, PicturesThatAreMissingAndAnswersThatAreTooLong) {
  add("a.png", "short");
  add("b.png", "short");
  const int64_t length = read().samples.front().length;
  add("a.png", "shorter");
  options_.max_length = length;
  const std::string file = (folder_ / "d.jsonl").string();
  SampleSet set = read();
  EXPECT_EQ(set.samples.size(), 1U);
  EXPECT_THAT(
      set.problems,
      ElementsAre(cat(file, ":2: image ", (folder_ / "b.png").string(), ": no such file"),
                  cat(file, ":3: expected at most ", length, " positions, found ", length + 2)));
  options_.truncate = true;
  set = read();
  EXPECT_EQ(set.samples.size(), 2U);
  EXPECT_EQ(set.truncated, 1);
  EXPECT_EQ(set.samples[1].length, length);
  EXPECT_EQ(supervised(set.samples[1]), "shorter");
  options_.max_length = length - 7;
  set = read();
  EXPECT_EQ(set.samples.size(), 0U);
  EXPECT_THAT(set.problems.front(),
              HasSubstr(cat("prompt and image alone take all of the ", length - 7, " positions")));
}

}  // namespace
}  // namespace fastvlm
