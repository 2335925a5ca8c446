// SPDX-License-Identifier: Apache-2.0
#include "caption/tags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sha256.h"
#include "base/strings.h"
#include "caption/prompt.h"

namespace fastvlm {
namespace {

std::string texts(const std::vector<Tag>& tags) {
  std::string all;
  for (const Tag& tag : tags) all += tag_text(tag) + ";";
  return all;
}

TEST(Tags, ListOfAPerson) {
  const auto tags = parse_tag_list("person (left), dog,• traffic light (center) ");
  ASSERT_TRUE(tags.ok());
  EXPECT_EQ(texts(*tags), "person (left);dog;traffic light (center);");
  EXPECT_EQ((*tags)[1].position, "");
  EXPECT_EQ(parse_tag_list("dog,,cat").status().code, Code::kUsage);
  EXPECT_EQ(parse_tag_list("(left)").status().code, Code::kUsage);
}

TEST(Tags, ThirdsOfTheFrame) {
  EXPECT_EQ(horizontal_third(0, 300), "left");
  EXPECT_EQ(horizontal_third(99.9, 300), "left");
  EXPECT_EQ(horizontal_third(100, 300), "center");
  EXPECT_EQ(horizontal_third(199.9, 300), "center");
  EXPECT_EQ(horizontal_third(200, 300), "right");
}

TEST(Tags, DetectionsComeInFallingConfidence) {
  const auto tags = parse_tags_file(R"({"width": 300, "objects": [
      {"label": "chair", "box_xyxy": [210, 0, 290, 50], "confidence": 0.6},
      {"label": "person", "box_xyxy": [0, 0, 100.5, 50], "confidence": 0.9},
      {"label": "cat"}]})",
                                    "scene.json", 300);
  ASSERT_TRUE(tags.ok()) << tags.status().message;
  EXPECT_EQ(texts(*tags), "person (left);chair (right);cat;");
  EXPECT_FLOAT_EQ(*(*tags)[0].confidence, 0.9F);
}

TEST(Tags, FileOfLines) {
  const auto tags = parse_tags_file("person (left)\n\n• chair (center)\n", "tags.txt", 100);
  ASSERT_TRUE(tags.ok());
  EXPECT_EQ(texts(*tags), "person (left);chair (center);");
  EXPECT_TRUE(parse_tags_file("", "tags.txt", 100)->empty());
  EXPECT_TRUE(parse_tags_file("[]", "tags.json", 100)->empty());
}

TEST(Tags, MalformedFilesNameThePlace) {
  struct Case {
    std::string text;
    std::string message;
  };
  const Case cases[] = {
      {"[{\"label\": 3}]", "t.json[0]: expected an object with a text \"label\""},
      {"[1]", "t.json[0]: expected an object with a text \"label\""},
      {"{\"objects\": 1}", "t.json: objects: expected a list of objects, found number"},
      {"{\"scene\": []}", "t.json: expected a list of objects, found object"},
      {"[", "t.json: the JSON ends too early, after byte 1"},
      {"[{\"label\": \"a\"},\n {\"label\": \"do", "t.json: the JSON ends too early, after byte 31"},
      {"[{\"label\": \"a\"},\n {label: 1}]",
       "t.json: line 2, byte 20: no JSON from here: \"label: 1}]\""},
      {"[1e999]", "t.json: expected JSON, found a number too large for it"},
      {std::string("dog\n\0\1\2", 7), "t.json: byte 5 is zero, so this is no text"},
      {"cat\n\n\x89PNG\x1A" + std::string(5000, 'x'),
       "t.json: line 3: tags: expected a name, found \"\xEF\xBF\xBDPNG " + std::string(75, 'x') +
           "\""},
      {"[{\"label\": \"a\\nb\"}]", "t.json[0]: expected one line of text as label"},
      {"[{\"label\": \" \"}]", "t.json[0]: expected one line of text as label"},
      {"[{\"label\": \"a\", \"box_xyxy\": [1, 2, 3]}]",
       "t.json[0].box_xyxy: expected four numbers, found a list of 3"},
      {"[{\"label\": \"a\", \"box_xyxy\": {}}]",
       "t.json[0].box_xyxy: expected four numbers, found object"},
      {"[{\"label\": \"a\", \"confidence\": 2}]",
       "t.json[0].confidence: expected a number from 0 to 1"},
      {"dog\n(left)", "t.json: line 2: tags: expected a name, found \"(left)\""},
      {std::string(100000, '[') + "{", "t.json: the JSON ends too early, after byte 100001"},
  };
  for (const Case& c : cases) {
    const auto tags = parse_tags_file(c.text, "t.json", 100);
    ASSERT_FALSE(tags.ok()) << c.text;
    EXPECT_EQ(tags.status().message, c.message);
    EXPECT_EQ(tags.status().code, Code::kInvalid);
  }
}

TEST(Prompt, TextsAreThoseOfTraining) {
  // The digests of prompts/*.txt without the line end; a changed byte changes every caption.
  EXPECT_EQ(sha256_hex(seven_point_prompt()),
            "d29f89f053a8b818db7943e3c4a94a0cd67f3a3bad1322fc16855f194a1c27ce");
  EXPECT_EQ(describe_prompt(), "Describe the image.");
  EXPECT_EQ(no_objects_prompt(), "No objects were detected in the scene.");
  EXPECT_EQ(named_prompt("seven_point"), seven_point_prompt());
  EXPECT_EQ(named_prompt("What is this?"), std::nullopt);
}

TEST(Prompt, TagsStandBeforeThePrompt) {
  EXPECT_EQ(question_text({}, "What?"), "What?");
  const std::vector<Tag> tags = {{"person", "left", 0.9F}, {"chair", "", {}}};
  EXPECT_EQ(question_text(tags, "What?"),
            "The following objects were detected in the scene with bounding boxes:\n"
            "• person (left)\n"
            "• chair\n"
            "\n"
            "What?");
}

}  // namespace
}  // namespace fastvlm
