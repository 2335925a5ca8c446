// SPDX-License-Identifier: Apache-2.0
#include "caption/caption_schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "caption/prompt.h"
#include "caption/schema.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;

CaptionSchema parsed(std::string_view text) {
  auto schema = parse_caption_schema(text, "my.json");
  EXPECT_TRUE(schema.ok()) << schema.status().message;
  return schema.ok() ? std::move(*schema) : CaptionSchema{};
}

TEST(CaptionSchema, SevenPointsAreWhatTheModelWasTrainedWith) {
  const CaptionSchema& schema = seven_point_schema();
  EXPECT_EQ(schema.name, "seven_point");
  ASSERT_EQ(schema.sections.size(), kSectionCount);
  std::string answer;
  for (const Section section : kAllSections) {
    const auto i = static_cast<size_t>(section);
    EXPECT_EQ(schema.sections[i].key, section_key(section));
    EXPECT_EQ(schema.sections[i].title, section_title(section));
    answer += cat(section_header(schema, i), " x", i, "\n");
  }
  EXPECT_EQ(schema_prompt(schema), seven_point_prompt());
  const Sections found = parse_sections(answer);
  for (size_t i = 0; i < kSectionCount; ++i) EXPECT_EQ(found[i], cat("x", i));
}

TEST(CaptionSchema, OfAUser) {
  const CaptionSchema schema = parsed(R"({
    "introduction": "Look at the picture.\nAnswer in two parts:",
    "sections": [
      {"name": "subject", "title": "Subject", "instruction": "Who or what?", "max_tokens": 20},
      {"name": "light", "title": "Light", "instruction": "How is it lit?",
       "choices": ["day", "night", "studio light"]},
      {"name": "size_2", "title": "Size", "choices": ["big"]},
      {"name": "rest", "title": "Rest"}]})");
  EXPECT_EQ(schema.name, "my");
  EXPECT_EQ(schema.sections[0].max_tokens, 20);
  EXPECT_EQ(schema.sections[1].choices.size(), 3U);
  EXPECT_EQ(schema_prompt(schema),
            "Look at the picture.\nAnswer in two parts:\n\n"
            "1. Subject – Who or what?\n"
            "2. Light – How is it lit? One of: day, night, studio light\n"
            "3. Size – One of: big\n"
            "4. Rest");
  EXPECT_EQ(section_header(schema, 1), "2. Light –");
}

TEST(CaptionSchema, MistakesAreNamed) {
  const auto message = [](const std::string& text) {
    const auto schema = parse_caption_schema(text, "my.json");
    EXPECT_FALSE(schema.ok()) << text;
    EXPECT_EQ(schema.status().code, Code::kInvalid);
    EXPECT_FALSE(schema.status().hint.empty()) << text;
    return schema.status().message;
  };
  const auto with = [&](const std::string& section) {
    return message(R"({"introduction": "x", "sections": [{"name": "a", "title": "A"}, )" + section +
                   "]}");
  };
  EXPECT_EQ(message("{"), "my.json: expected JSON, found something that does not parse");
  EXPECT_EQ(message("[1]"), "my.json: expected an object, found array");
  EXPECT_EQ(message(R"({"sections": []})"), "my.json: expected a key \"introduction\", found none");
  EXPECT_EQ(message(R"({"introduction": 7, "sections": []})"),
            "my.json: introduction: expected a text of 1 to 4000 bytes, found 7");
  EXPECT_EQ(message(R"({"introduction": "x", "sections": []})"),
            "my.json: sections: expected a list of 1 to 64 sections, found 0");
  EXPECT_EQ(message(R"({"introduction": "x"})"),
            "my.json: sections: expected a list of 1 to 64 sections, found null");
  EXPECT_EQ(message(R"({"introduction": "x", "sections": [], "more": 1})"),
            "my.json: unknown key \"more\"");
  EXPECT_EQ(with("3"), "my.json: sections[1]: expected an object, found 3");
  EXPECT_EQ(with(R"({"title": "B"})"), "my.json: sections[1]: expected a key \"name\", found none");
  EXPECT_EQ(with(R"({"name": "b", "title": "B", "max_token": 9})"),
            "my.json: sections[1]: unknown key \"max_token\"");
  EXPECT_EQ(with(R"({"name": "B b", "title": "B"})"),
            "my.json: sections[1].name: expected a-z, 0-9 and _, found \"B b\"");
  EXPECT_EQ(with(R"({"name": "b", "title": "B\nC"})"),
            "my.json: sections[1].title: expected a text of one line of 1 to 100 bytes, found "
            "\"B C\"");
  EXPECT_EQ(with(R"({"name": "b", "title": "--"})"),
            "my.json: sections[1].title: expected a text with a word, found \"--\"");
  EXPECT_EQ(with(R"({"name": "b", "title": "B", "max_tokens": 2})"),
            "my.json: sections[1].max_tokens: expected a whole number from 4 to 65536, found 2");
  EXPECT_EQ(
      with(R"({"name": "b", "title": "B", "max_tokens": 1e30})"),
      "my.json: sections[1].max_tokens: expected a whole number from 4 to 65536, found 1e+30");
  EXPECT_EQ(with(R"({"name": "b", "title": "B", "choices": []})"),
            "my.json: sections[1].choices: expected a list of 1 to 1000 texts, found 0");
  EXPECT_EQ(with(R"({"name": "b", "title": "B", "choices": ["x", 3]})"),
            "my.json: sections[1].choices[1]: expected a text of one line of 1 to 100 bytes, found "
            "3");
  EXPECT_EQ(with(R"({"name": "b", "title": "B", "choices": ["x", "x"]})"),
            "my.json: sections[1].choices[1]: \"x\" stands there twice");
  EXPECT_EQ(with(R"({"name": "b", "title": "B", "choices": ["x"], "max_tokens": 9})"),
            "my.json: sections[1]: expected max_tokens or choices, found both");
  EXPECT_EQ(with(R"({"name": "a", "title": "B"})"),
            "my.json: sections[1].name: \"a\" is there already");
  EXPECT_EQ(with(R"({"name": "b", "title": "A"})"),
            "my.json: sections[1].title: \"A\" is there already");
}

TEST(CaptionSchema, ForeignHeadersOfTheSevenPoints) {
  const CaptionSchema& schema = seven_point_schema();
  const auto found = [&](std::string_view value, bool complete = true) {
    return foreign_header(schema, 0, value, complete);
  };
  EXPECT_EQ(found(" A cat."), std::nullopt);
  EXPECT_EQ(found(" A cat.\nTwo dogs: a big one, 2. and a small one."), std::nullopt);
  EXPECT_EQ(found(" A cat.\n2. Surrounding Objects & Context – x"), 8U);
  EXPECT_EQ(found(" A cat. **Style & Aesthetic**: x"), 8U);
  EXPECT_EQ(found(" A cat.\n### Scene"), 8U);
  EXPECT_EQ(found(" 1. Main Focus – A cat."), 1U);
  // What goes on may become a sentence.
  EXPECT_EQ(found(" A cat.\nMain Focus", false), std::nullopt);
  EXPECT_EQ(found(" A cat.\nMain Focus:", false), 8U);
  EXPECT_EQ(found(" A cat.\nMain Focus"), 8U);
}

TEST(CaptionSchema, ForeignHeadersOfAUser) {
  const CaptionSchema schema = parsed(R"({"introduction": "x", "sections": [
      {"name": "a", "title": "Mood"}, {"name": "b", "title": "Main colors"}]})");
  const auto found = [&](std::string_view value, bool complete = true) {
    return foreign_header(schema, 0, value, complete);
  };
  EXPECT_EQ(found(" Mood: calm, 2. Main colors – red"), std::nullopt);  // inside the line
  EXPECT_EQ(found(" calm\nMain colors are red"), std::nullopt);
  EXPECT_EQ(found(" calm\n2. Main colors – red"), 6U);
  EXPECT_EQ(found(" calm\n**Main colors**: red"), 6U);
  EXPECT_EQ(found(" calm\nmain colors: red"), 6U);
  EXPECT_EQ(found(" calm\n- x\n## Main colors\nred"), 10U);
  EXPECT_EQ(found(" calm\nMood"), 6U);
  EXPECT_EQ(found(" calm\nMood", false), std::nullopt);
  // The seven points are no headers here.
  EXPECT_EQ(found(" calm\n2. Spatial Relationships – x"), std::nullopt);
}

}  // namespace
}  // namespace fastvlm
