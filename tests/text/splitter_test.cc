// SPDX-License-Identifier: Apache-2.0
#include "text/splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fastvlm {
namespace {

using testing::ElementsAre;

std::vector<std::string> pieces(std::string_view pattern, std::string_view text) {
  const auto splitter = Splitter::compile(pattern, "pattern");
  EXPECT_TRUE(splitter.ok()) << splitter.status().message;
  const auto ends = splitter->piece_ends(text);
  EXPECT_TRUE(ends.ok()) << ends.status().message;
  std::vector<std::string> all;
  size_t begin = 0;
  for (const uint32_t end : *ends) {
    all.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  EXPECT_EQ(begin, text.size());
  return all;
}

TEST(Splitter, CutsAsQwen2) {
  const auto cut = [](std::string_view text) { return pieces(kQwen2SplitPattern, text); };
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
  EXPECT_THAT(pieces(R"(\s)", "\u0085\u1680\u180E\u200B"),
              ElementsAre("\u0085", "\u1680", "\u180E\u200B"));
  EXPECT_THAT(pieces(R"(\S)", "\u0085\u180E"), ElementsAre("\u0085", "\u180E"));
  EXPECT_THAT(pieces(R"([^\sx]+)", "a\u180Eb\u2028x"), ElementsAre("a\u180Eb", "\u2028x"));
  EXPECT_THAT(pieces(R"(\\s)", "a\\s"), ElementsAre("a", "\\s"));  // an escaped backslash
}

TEST(Splitter, KeepsWhatNoMatchTakes) {
  EXPECT_THAT(pieces("b+", "aabbcb"), ElementsAre("aa", "bb", "c", "b"));
  EXPECT_THAT(pieces("x*", "axa"), ElementsAre("a", "x", "a"));  // empty matches cut nothing
  EXPECT_THAT(pieces("q", "\u00E9\u00E9"), ElementsAre("\u00E9\u00E9"));
}

TEST(Splitter, RefusesBadPatterns) {
  for (const char* pattern : {"", "(", "[a", "\\C", "(?<n>a)(?<n>b)", "(?=ab\\K)a", "\xFF"}) {
    const auto splitter = Splitter::compile(pattern, "file: field");
    EXPECT_EQ(splitter.status().code, Code::kInvalid) << pattern;
    EXPECT_EQ(splitter.status().message.substr(0, 11), "file: field");
  }
  EXPECT_EQ(Splitter::compile(std::string(5000, 'a'), "f").status().code, Code::kInvalid);
}

// Each of these needs exponential or quadratic time when nobody counts. The "b" at the end keeps
// PCRE2 from seeing at once that none of them matches.
TEST(Splitter, GivesUpOnHostilePatterns) {
  const std::string text = std::string(1 << 18, 'a') + "cb";
  for (const char* pattern :
       {"(a+)+b", "(?:a|a)*b", "(?=(a*)*b)a", "(a*)(a*)(a*)(a*)b", "(?R)b|a*c"}) {
    const auto splitter = Splitter::compile(pattern, "pattern");
    ASSERT_TRUE(splitter.ok());
    EXPECT_EQ(splitter->piece_ends(text).status().code, Code::kLimit) << pattern;
  }
}

TEST(Splitter, LongRunsOfSpacesAreNoAttack) {
  for (const char* unit : {" ", "\n", " \n", "\u3000"}) {
    std::string text;
    while (text.size() < (1 << 20)) text += unit;
    const auto splitter = Splitter::compile(kQwen2SplitPattern, "pattern");
    EXPECT_TRUE(splitter->piece_ends(text + "x").ok());
  }
}

}  // namespace
}  // namespace fastvlm
