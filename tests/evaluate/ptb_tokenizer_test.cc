// SPDX-License-Identifier: Apache-2.0
#include "evaluate/ptb_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evaluate/metric_goldens.h"

namespace fastvlm {
namespace {

using test::Stress;

std::vector<std::string> texts_of(const std::vector<Stress>& items) {
  std::vector<std::string> texts;
  for (const Stress& item : items) texts.push_back(item.text);
  return texts;
}

void expect_tokens(const std::vector<std::string>& raw, const std::vector<std::string>& expected) {
  const std::vector<std::string> tokens = tokenize_captions(raw);
  ASSERT_EQ(tokens.size(), expected.size());
  for (size_t i = 0; i < raw.size(); ++i) EXPECT_EQ(tokens[i], expected[i]) << raw[i];
}

TEST(PtbTokenizer, StressStringsInOneStream) {
  const std::vector<Stress> items = test::ptb_stress();
  ASSERT_EQ(items.size(), 466U);
  const std::vector<std::string> texts = texts_of(items);
  const std::vector<std::string> lines = ptb_lines(texts);
  const std::vector<std::string> tokens = tokenize_captions(texts);
  ASSERT_EQ(lines.size(), items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(lines[i], items[i].lexed) << "text " << i << ": " << items[i].text;
    EXPECT_EQ(tokens[i], items[i].tokens) << "text " << i << ": " << items[i].text;
  }
}

TEST(PtbTokenizer, StressStringsAlone) {
  for (const Stress& item : test::ptb_stress()) {
    const std::vector<std::string> text = {item.text};
    EXPECT_EQ(ptb_lines(text), std::vector<std::string>{item.lexed_alone}) << item.text;
    EXPECT_EQ(tokenize_captions(text), std::vector<std::string>{item.tokens_alone}) << item.text;
  }
}

TEST(PtbTokenizer, CaptionsOfTheGoldens) {
  for (const char* name : {"model", "human_loo", "edge"}) {
    const auto set = test::metric_golden(name);
    if (!set) continue;
    std::vector<std::string> raw;
    std::vector<std::string> expected;
    for (const test::GoldenImage& image : set->images) {
      raw.insert(raw.end(), image.references.begin(), image.references.end());
      expected.insert(expected.end(), image.reference_tokens.begin(), image.reference_tokens.end());
    }
    expect_tokens(raw, expected);
    raw.clear();
    expected.clear();
    for (const test::GoldenImage& image : set->images) {
      raw.push_back(image.candidate);
      expected.push_back(image.candidate_tokens);
    }
    expect_tokens(raw, expected);
  }
}

TEST(PtbTokenizer, NoCaptionsAndBadBytes) {
  EXPECT_TRUE(tokenize_captions({}).empty());
  const std::vector<std::string> texts = {"a \xFF dog", "", "one\ntwo"};
  EXPECT_THAT(tokenize_captions(texts), testing::ElementsAre("a dog", "", "one two"));
}

TEST(PtbTokenizer, LineEndsAreSeen) {
  for (const char* text : {"a\rb", "a\vb", "a\fb", "a\u0085b", "a\u2028b", "a\u2029b"}) {
    EXPECT_TRUE(has_line_end(text)) << text;
  }
  EXPECT_FALSE(has_line_end("a\nb\tb\u00A0c"));
}

}  // namespace
}  // namespace fastvlm
