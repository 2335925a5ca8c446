// SPDX-License-Identifier: Apache-2.0
#include "text/splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace fastvlm {
namespace {

using testing::ElementsAre;

std::vector<std::string> cut(std::string_view text) {
  const auto splitter = Splitter::make();
  EXPECT_TRUE(splitter.ok()) << splitter.status().message;
  const auto ends = splitter->piece_ends(text);
  EXPECT_TRUE(ends.ok()) << ends.status().message;
  std::vector<std::string> all;
  size_t begin = 0;
  for (const uint32_t end : *ends) {
    EXPECT_GT(end, begin);
    all.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return all;
}

TEST(Splitter, CutsAsQwen2) {
  EXPECT_THAT(cut(""), ElementsAre());
  EXPECT_THAT(cut("It's 42 o'Clock!\n\nOK"),
              ElementsAre("It", "'s", " ", "4", "2", " o", "'Clock", "!\n\n", "OK"));
  EXPECT_THAT(cut("a   b"), ElementsAre("a", "  ", " b"));
  EXPECT_THAT(cut("a  \n  b "), ElementsAre("a", "  \n", " ", " b", " "));
  EXPECT_THAT(cut("WE'LL"), ElementsAre("WE", "'LL"));
  EXPECT_THAT(cut("\u00A0x\u3000"), ElementsAre("\u00A0x", "\u3000"));
}

// White_Space of Unicode: U+0085 and U+1680 belong to it, U+180E and U+200B do not.
TEST(Splitter, KnowsSpaces) {
  EXPECT_THAT(cut("!\u0085\u1680!"), ElementsAre("!", "\u0085", "\u1680", "!"));
  EXPECT_THAT(cut("!\u180E\u200B!"), ElementsAre("!\u180E\u200B!"));
}

TEST(Splitter, TakesEveryCharacter) {
  std::mt19937 random(1);
  std::string text;
  for (int i = 0; i < 20000; ++i) {
    const std::string some[] = {
        " ", "\n", "a", "7", "'", "\u0301", std::string(1, '\0'), "\U0001F600", "\u0378"};
    text += some[random() % std::size(some)];
  }
  EXPECT_FALSE(cut(text).empty());  // cut() checks that the pieces cover the text
}

// Time linear in the length, and no limit of the matcher in the way.
TEST(Splitter, LongRunsAreNoAttack) {
  const auto splitter = Splitter::make();
  EXPECT_TRUE(splitter->piece_ends(std::string(11'000'000, ' ') + "x").ok());
  for (const char* unit : {"\n", " \n", "\u3000", "a", "!", "\u0301", "'"}) {
    std::string text;
    while (text.size() < (size_t{1} << 20)) text += unit;
    EXPECT_TRUE(splitter->piece_ends(text + "x").ok());
  }
}

}  // namespace
}  // namespace fastvlm
