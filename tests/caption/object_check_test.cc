// SPDX-License-Identifier: Apache-2.0
// Captions against the tags that stood in their prompts.
#include "caption/object_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "caption/caption_json.h"
#include "caption/caption_style.h"
#include "caption/output.h"
#include "detect/detector.h"
#include "support/files.h"
#include "support/json_schema.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;

const std::vector<Tag> kTags = {
    {"dog", "left", 0.9F}, {"dog", "right", {}}, {"chair", "", {}}, {"traffic cone", "", {}}};

std::vector<std::string> unseen_in(const std::string& text, const ObjectKinds& knowable,
                                   const std::vector<std::string>& bodies = {}) {
  std::vector<std::string> found;
  for (const UnseenObject& object : check_objects(text, bodies, kTags, knowable).unseen) {
    EXPECT_EQ(text.substr(object.begin, object.end - object.begin), object.words);
    found.push_back(object.kind + ": " + object.words);
  }
  return found;
}

TEST(ObjectCheck, TagsThatAreMentioned) {
  const ObjectCheck check = check_objects("Two puppies between traffic cones, and no chair.", {},
                                          kTags, all_object_kinds());
  EXPECT_THAT(check.mentioned, ElementsAre("dog", "traffic cone"));
  EXPECT_THAT(check.not_mentioned, ElementsAre("chair")) << "said to be absent";
}

TEST(ObjectCheck, WhatNobodySaw) {
  EXPECT_THAT(
      unseen_in("A dog chases KITTENS – é – past a wine glass, without a car.", all_object_kinds()),
      ElementsAre("cat: KITTENS", "wine glass: wine glass"));
  EXPECT_THAT(unseen_in("A mushroom.", all_object_kinds()), IsEmpty()) << "none of the kinds";
  EXPECT_THAT(unseen_in("Colors like a picture book, a cat.", all_object_kinds()),
              ElementsAre("cat: cat"));
}

TEST(ObjectCheck, OnlyKindsThatCanBeKnown) {
  const std::string text = "A cat and a car.";
  EXPECT_THAT(unseen_in(text, kinds_known_by({"cat", "dog"})), ElementsAre("cat: cat"));
  EXPECT_THAT(unseen_in(text, {}), IsEmpty());
  EXPECT_EQ(kinds_known_by(coco_names()), all_object_kinds()) << "detectors trained on COCO";
  EXPECT_THAT(kinds_known_by({"kitten", "car door", "person with hat", "octopus", ""}),
              ElementsAre("cat"));
}

TEST(ObjectCheck, HeadersNameNothing) {
  const std::string text = "1. Cat – cat\n2. Cars and trucks – \n3. Bus – A bus\nor not";
  EXPECT_THAT(unseen_in(text, all_object_kinds(), {"cat", "", "A bus\nor not"}),
              ElementsAre("cat: cat", "bus: bus"));
  EXPECT_EQ(mark_objects(text, {"cat", "", "A bus\nor not"}, {"cat", "bus"}),
            "1. Cat – cat [unseen]\n2. Cars and trucks – \n3. Bus – A bus [unseen]\nor not");
  EXPECT_EQ(mark_objects("A cat", {"of another text"}, {"cat"}), "A cat [unseen]");
}

TEST(ObjectCheck, MarksAndPieces) {
  const std::string text = "No cat. Cats' cars, and a cat tail";
  EXPECT_EQ(mark_objects(text, {}, {"cat", "car"}),
            "No cat. Cats [unseen]' cars [unseen], and a cat tail");
  EXPECT_THAT(cut_at_objects(text, {}, {"cat", "car"}),
              ElementsAre("No cat. ", "Cats", "' ", "cars", ", and a cat tail"));
  EXPECT_THAT(cut_at_objects(text, {}, {}), ElementsAre(text));
}

Caption verified() {
  Caption caption;
  caption.text = "1. Main Focus – é cat\n2. Mood – calm";
  caption.sections = {{"main_focus", "Main Focus", "é cat", FinishReason::kStop},
                      {"mood", "Mood", "calm", FinishReason::kStop}};
  caption.provenance.schema = "my";
  caption.provenance.schema_sha256 = std::string(64, '0');
  caption.provenance.prompt_sha256 = std::string(64, '0');
  caption.provenance.max_tokens = 9;
  caption.tags = {{"dog", "", {}}};
  caption.objects =
      check_objects(caption.text, bodies_of(caption), caption.tags, all_object_kinds());
  return caption;
}

TEST(ObjectCheck, InEveryForm) {
  const Caption caption = verified();
  EXPECT_EQ(in_style(caption, CaptionStyle::kText), caption.text) << "marks are asked for";
  const ModelIdentity model{"tiny", std::string(64, '0'), "q4"};
  const std::string line = to_json(caption, model, "a.jpg", {.grounding = true});
  EXPECT_EQ(json::parse(line)["grounding"], json::parse(R"({"mentioned": [],
      "not_mentioned": ["dog"],
      "unseen": [{"object": "cat", "words": "cat", "begin": 18, "end": 21}]})"));
  EXPECT_EQ(json::parse(line)["text"], caption.text);
  const json schema = json::parse(
      *read_text_file(std::filesystem::path(FASTVLM_SOURCE_DIR) / "docs" / "caption.schema.json"));
  EXPECT_THAT(test::schema_complaints(schema, json::parse(line)), IsEmpty());
  EXPECT_FALSE(json::parse(to_json(caption, model, "a.jpg")).contains("grounding"));

  // Files are made of the JSON alone, and say what stdout says.
  const auto kept = parse_caption(line, {.grounding = true});
  ASSERT_TRUE(kept.ok());
  EXPECT_EQ(json::parse(kept->json), json::parse(line));
  const auto same = [&](OutputFormat format, CaptionStyle style, const std::string& text) {
    EXPECT_EQ(in_style(caption, style, true), text);
    EXPECT_EQ(render(format, *kept), text + "\n");
  };
  same(OutputFormat::kText, CaptionStyle::kText, "1. Main Focus – é cat [unseen]\n2. Mood – calm");
  same(OutputFormat::kParagraph, CaptionStyle::kParagraph, "é cat [unseen]. calm.");
  EXPECT_EQ(render(OutputFormat::kMarkdown, *kept),
            "## Main Focus\n\né cat [unseen]\n\n## mood\n\ncalm\n");
  EXPECT_EQ(render(OutputFormat::kCsv, *kept),
            "image,text,main_focus,mood,unseen,finish_reason\n"
            "a.jpg,\"1. Main Focus – é cat\n2. Mood – calm\",é cat,calm,cat,stop\n");
  EXPECT_EQ(render(OutputFormat::kXmp, *kept).find("[unseen]"), std::string::npos);

  const auto plain = parse_caption(line);
  ASSERT_TRUE(plain.ok());
  EXPECT_FALSE(json::parse(plain->json).contains("grounding"));
  EXPECT_EQ(render(OutputFormat::kText, *plain), caption.text + "\n");
}

}  // namespace
}  // namespace fastvlm
