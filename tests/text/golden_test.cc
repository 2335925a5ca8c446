// SPDX-License-Identifier: Apache-2.0
// Every row of tests/goldens/tokenizer, with the Qwen2 vocabulary of the shared folder read in both
// of its forms.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/files.h"
#include "text/conversation.h"
#include "text/tokenizer.h"

namespace fastvlm {
namespace {

using nlohmann::json;

std::vector<json> rows(const std::string& file) {
  std::ifstream in(test::golden("tokenizer") / file);
  std::vector<json> all;
  for (std::string line; std::getline(in, line);) all.push_back(json::parse(line));
  EXPECT_FALSE(all.empty()) << file;
  return all;
}

// The tokenizer out of tokenizer.json (true), or out of vocab.json and merges.txt (false).
Result<Tokenizer> load(const std::filesystem::path& folder, bool whole) {
  if (whole) return Tokenizer::load(folder);
  const test::TemporaryFolder parts;
  for (const char* name : {"vocab.json", "merges.txt", "tokenizer_config.json"}) {
    std::filesystem::create_symlink(folder / name, parts / name);
  }
  return Tokenizer::load(parts.path());
}

// Parameter: the form, as in load(). Each form is loaded once.
class Golden : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    const auto folder = test::shared("weights/qwen2_tokenizer");
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
    static const Result<Tokenizer> kForms[] = {load(folder, false), load(folder, true)};
    const auto& loaded = kForms[GetParam() ? 1 : 0];
    ASSERT_TRUE(loaded.ok()) << loaded.status().message;
    tokenizer_ = &*loaded;
  }

  const Tokenizer* tokenizer_ = nullptr;
};

INSTANTIATE_TEST_SUITE_P(Forms, Golden, testing::Bool(), [](const auto& form) {
  return form.param ? "TokenizerJson" : "VocabAndMerges";
});

TEST_P(Golden, Encode) {
  for (const json& row : rows("encode.jsonl")) {
    const auto ids = tokenizer_->encode(row["text"].get<std::string>(), Trust::kTrusted);
    ASSERT_TRUE(ids.ok()) << row << ids.status().message;
    EXPECT_EQ(*ids, row["ids"].get<std::vector<TokenId>>()) << row;
    EXPECT_EQ(tokenizer_->decode(*ids, false), row["decoded"].get<std::string>()) << row;
  }
}

TEST_P(Golden, Decode) {
  for (const json& row : rows("decode.jsonl")) {
    const auto ids = row["ids"].get<std::vector<TokenId>>();
    EXPECT_EQ(tokenizer_->decode(ids, false), row["text"].get<std::string>()) << row;
    EXPECT_EQ(tokenizer_->decode(ids, true), row["text_skip_special"].get<std::string>()) << row;
  }
}

// Apple's way: the prompt is cut at <image> and each piece encoded as trusted text.
TEST_P(Golden, PromptsAsTrustedText) {
  const std::string hole = "<image>";
  for (const json& row : rows("prompts.jsonl")) {
    const auto prompt = row["prompt"].get<std::string>();
    std::vector<TokenId> ids;
    for (size_t at = 0;;) {
      const size_t end = prompt.find(hole, at);
      const auto piece = tokenizer_->encode(prompt.substr(at, end - at), Trust::kTrusted);
      ASSERT_TRUE(piece.ok());
      ids.insert(ids.end(), piece->begin(), piece->end());
      if (end == std::string::npos) break;
      ids.push_back(kImageToken);
      at = end + hole.size();
    }
    EXPECT_EQ(ids, row["ids"].get<std::vector<TokenId>>()) << row;
  }
}

// The rows of the iOS order show four holes where ours has one.
TEST_P(Golden, Conversations) {
  int image_first = 0;
  for (const json& row : rows("prompts.jsonl")) {
    const bool first = row["kind"].get<std::string>().find("image first") != std::string::npos;
    image_first += first;
    auto expected = row["ids"].get<std::vector<TokenId>>();
    expected.erase(std::unique(expected.begin(), expected.end(),
                               [](TokenId a, TokenId b) { return a == kImageToken && b == a; }),
                   expected.end());
    const auto ids = conversation_ids(*tokenizer_, row["question"].get<std::string>(),
                                      first ? PromptOrder::kImageFirst : PromptOrder::kImageLast);
    ASSERT_TRUE(ids.ok()) << ids.status().message;
    EXPECT_EQ(*ids, expected) << row;
  }
  EXPECT_EQ(image_first, 8);
}

TEST_P(Golden, KnowsItsTokens) {
  EXPECT_EQ(tokenizer_->vocab_size(), 151646U);
  EXPECT_EQ(tokenizer_->find("<|im_end|>"), 151645);
  EXPECT_TRUE(tokenizer_->is_special(151645));
  EXPECT_FALSE(tokenizer_->is_special(198));
  EXPECT_EQ(tokenizer_->token_bytes(198), "\n");
  EXPECT_EQ(tokenizer_->token_bytes(151700), "");
  EXPECT_EQ(tokenizer_->token_bytes(kImageToken), "");
}

}  // namespace
}  // namespace fastvlm
