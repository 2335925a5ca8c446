// SPDX-License-Identifier: Apache-2.0
#include "caption/value_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fastvlm {
namespace {

TEST(ValueText, AWordIsALetterADigitOrACharacterOfItsOwn) {
  for (const char* text : {"a", " 7", "- é", "狗", "🐕", "…x", "\xFF\xFE b"}) {
    EXPECT_TRUE(has_word(text)) << text;
  }
  for (const char* text : {"", " ", "\n", "...", "–", " – …", "**", "「」", "\xF0\x9F", "\xFF",
                           "\u200B", "\uFFFD", "\u00A0"}) {
    EXPECT_FALSE(has_word(text)) << text;
  }
}

TEST(ValueText, SentencesEnd) {
  for (const char* text : {"A cat.", "Is it? ", "\"No!\"\n", "(so.)", "**Yes.**", "犬。"}) {
    EXPECT_TRUE(ends_sentence(text)) << text;
  }
  for (const char* text : {"A cat", "", "e.g. a", "cat,", "\""})
    EXPECT_FALSE(ends_sentence(text)) << text;
}

// What is kept of pieces, joined.
std::string cleaned(const std::vector<std::string_view>& pieces) {
  std::string text;
  for (size_t i = 0; i < clean_length(pieces); ++i) text += pieces[i];
  return text;
}

TEST(ValueText, IsCutBehindTheLastWholeSentence) {
  EXPECT_EQ(cleaned({" A", " cat", ".", " A", " dog", ".", " The", " b"}), " A cat. A dog.");
  EXPECT_EQ(cleaned({" A", " cat", ".\n", "A", " d"}), " A cat.\n");
  EXPECT_EQ(cleaned({" It", " is", " 3", ".", "5", " m"}), " It is 3.5");  // no end at "3."
  EXPECT_EQ(cleaned({" Things", ":\n", "-", " a", " tree", "\n", "-", " a", " d"}),
            " Things:\n- a tree\n");
  EXPECT_EQ(cleaned({" A", " cat", "."}), " A cat.");
}

TEST(ValueText, ElseBehindTheLastWholeWordOrCharacter) {
  EXPECT_EQ(cleaned({" A", " moto", "r", " an"}), " A motor");
  EXPECT_EQ(cleaned({"狗", "\xE7\x8C"}), "狗");
  EXPECT_EQ(cleaned({" moto", "r"}), " motor");
  // Never to nothing: the mark before the word stays with it.
  EXPECT_EQ(cleaned({" \"", " ", "x", "\xE7\x8C"}), " \" x");
  EXPECT_EQ(cleaned({"."}), ".");
  EXPECT_EQ(clean_length({}), 0U);
}

}  // namespace
}  // namespace fastvlm
