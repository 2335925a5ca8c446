// SPDX-License-Identifier: Apache-2.0
#include "train/conversations.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fastvlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ConversationFile parse(std::string_view text) {
  auto file = parse_conversations(text, "d");
  EXPECT_TRUE(file.ok()) << file.status().message;
  return file.ok() ? std::move(*file) : ConversationFile{};
}

constexpr const char* kRecord =
    R"({"id": 1, "image": "a.jpg", "conversations": [
  {"from": "human", "value": "<image>\nWhat, \"exactly\" [is] this?"},
  {"from": "gpt", "value": "A cat, }]."}]})";

TEST(Conversations, AnArrayOfRecords) {
  const ConversationFile file = parse(std::string("\n[\n") + kRecord + ",\n\n" + kRecord + "\n]\n");
  ASSERT_EQ(file.conversations.size(), 2U);
  EXPECT_TRUE(file.problems.empty());
  EXPECT_EQ(file.conversations[0].origin, "d:3");
  EXPECT_EQ(file.conversations[1].origin, "d:7");
  EXPECT_EQ(file.conversations[1].image, "a.jpg");
  ASSERT_EQ(file.conversations[1].exchanges.size(), 1U);
  EXPECT_EQ(file.conversations[1].exchanges[0].question, "What, \"exactly\" [is] this?");
  EXPECT_EQ(file.conversations[1].exchanges[0].answer, "A cat, }].");
}

TEST(Conversations, OneRecordALineAndSeveralTurns) {
  const ConversationFile file = parse(
      R"({"image": "a", "conversations": [{"from":"human","value":"Q\n<image>"},{"from":"gpt","value":"A "}]}

{"image": ["b"], "conversations": [{"from":"human","value":"<image>Q"},{"from":"gpt","value":"A"},)"
      R"({"from":"human","value":"And?"},{"from":"gpt","value":"B"}]})");
  ASSERT_EQ(file.conversations.size(), 2U);
  EXPECT_EQ(file.conversations[0].exchanges[0].question, "Q");
  EXPECT_EQ(file.conversations[0].exchanges[0].answer, "A ");
  EXPECT_EQ(file.conversations[1].origin, "d:3");
  ASSERT_EQ(file.conversations[1].exchanges.size(), 2U);
  EXPECT_EQ(file.conversations[1].exchanges[1].question, "And?");
}

TEST(Conversations, EveryProblemIsNamedAtOnce) {
  const auto line = [](const std::string& image, const std::string& turns) {
    return "{" + image + "\"conversations\": [" + turns + "]}\n";
  };
  const std::string human = R"({"from":"human","value":"<image>Q"})";
  const std::string gpt = R"({"from":"gpt","value":"A"})";
  const std::string image = R"("image": "a", )";
  const ConversationFile file =
      parse(line("", human + "," + gpt) +                                         // 1
            line(R"("image": ["a", "b"], )", human + "," + gpt) +                 // 2
            line(image, gpt + "," + human) +                                      // 3
            line(image, R"({"from":"human","value":"Q"},)" + gpt) +               // 4
            line(image, R"({"from":"human","value":"<image><image>"},)" + gpt) +  // 5
            line(image, human + R"(,{"from":"gpt","value":" \n"})") +             // 6
            line(image, human) +                                                  // 7
            line(image, human + "," + gpt) +                                      // 8: good
            line(image, human + R"(,{"from":"gpt","value":"<image>"})") +         // 9
            "{\"image\": \"a\"\n" + "[]\n" + line(image, ""));                    // 10, 11, 12
  EXPECT_EQ(file.conversations.size(), 1U);
  EXPECT_THAT(
      file.problems,
      ElementsAre(
          "d:1: no `image`: expected a file's name", "d:2: `image`: expected one picture, found 2",
          "d:3: turn 1: expected `from` \"human\", found \"gpt\"", "d:3: turn 1: no <image>",
          "d:3: turn 2: expected `from` \"gpt\", found \"human\"",
          "d:3: turn 2: expected no <image> in an answer", "d:4: turn 1: no <image>",
          "d:5: turn 1: expected one <image>, found 2", "d:6: turn 2: the answer is empty",
          "d:7: no answer from \"gpt\" at the end", "d:9: turn 2: expected no <image> in an answer",
          "d:10: expected JSON, found {\"image\": \"a\"",
          "d:11: expected an object with `image` and `conversations`",
          "d:12: no `conversations`: expected turns of \"human\" and \"gpt\""));
}

TEST(Conversations, FilesThatAreNone) {
  for (const char* text : {"", " \n", "[]", "[ ]\n"}) {
    const auto file = parse_conversations(text, "d");
    ASSERT_FALSE(file.ok()) << text;
    EXPECT_THAT(file.status().message, HasSubstr("d: expected conversations, found none"));
  }
  // What breaks off or nests is named where it begins.
  EXPECT_EQ(parse(std::string("[\n") + kRecord + ",\n{\"image\": \"").problems.size(), 1U);
  EXPECT_THAT(parse(std::string("[\n") + kRecord + ",\n").problems,
              ElementsAre("d:5: expected JSON, found the file's end: its list is not closed"));
  EXPECT_EQ(parse("[[[[]]], 1, \"x]\"]").problems.size(), 3U);
  EXPECT_EQ(parse("[1\n2").problems.size(), 1U);
  EXPECT_EQ(parse("]").problems.size(), 1U);
}

}  // namespace
}  // namespace fastvlm
