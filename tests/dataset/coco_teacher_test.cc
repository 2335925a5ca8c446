// SPDX-License-Identifier: Apache-2.0
// The teacher without a network: whole, true to its sources, and always the same.
#include "dataset/coco_teacher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/strings.h"
#include "caption/objects.h"
#include "dataset/builder.h"
#include "dataset/coco.h"
#include "dataset/llava.h"
#include "dataset/phrases.h"
#include "dataset/scene_words.h"
#include "image/decode.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

CocoPicture street() {
  return {"7",
          "7.jpg",
          640,
          480,
          {"A man riding a bike down a street.", "a man rides his bike past a parked car ",
           "Man on a bicycle next to a car on a sunny day"},
          {{"bicycle", "vehicle", 100, 200, 200, 200, false, 20000},
           {"person", "person", 120, 80, 160, 300, false, 30000},
           {"car", "vehicle", 400, 180, 200, 120, false, 18000},
           {"car", "vehicle", 560, 190, 60, 40, false, 2000}}};
}

std::string section(const std::string& answer, Section which) {
  return parse_sections(answer)[static_cast<size_t>(which)].value_or("");
}

TEST(CocoTeacher, WritesSevenSectionsFromCaptionsAndBoxes) {
  const auto answer = coco_answer(street(), {0.5, 0.2, 0.2, 0}, 1);
  ASSERT_TRUE(answer.ok());
  EXPECT_THAT(section_problems(*answer), IsEmpty()) << *answer;
  EXPECT_TRUE(has_all_sections(*answer)) << *answer;
  EXPECT_THAT(section(*answer, Section::kMainFocus), HasSubstr("the man"));
  EXPECT_THAT(section(*answer, Section::kSurroundings), HasSubstr("two cars"));
  EXPECT_THAT(section(*answer, Section::kSpatial), HasSubstr("to the right of the man"));
  EXPECT_THAT(section(*answer, Section::kActivities), testing::ContainsRegex("rid(ing|es)"));
  EXPECT_THAT(section(*answer, Section::kScene), HasSubstr("street, outdoors"));
  EXPECT_THAT(section(*answer, Section::kScene), HasSubstr("sunshine"));
}

TEST(CocoTeacher, TheSameSeedSaysTheSameAndAnotherVaries) {
  const PictureLook look{0.5, 0.2, 0.2, 0};
  std::set<std::string> answers;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    EXPECT_EQ(*coco_answer(street(), look, seed), *coco_answer(street(), look, seed));
    answers.insert(*coco_answer(street(), look, seed));
  }
  EXPECT_GT(answers.size(), 4U);
}

TEST(CocoTeacher, WritesWithoutObjectsAndWithOneCaption) {
  CocoPicture picture = street();
  picture.objects.clear();
  picture.captions = {"street signs on the corner"};
  const auto answer = coco_answer(picture, {}, 3);
  ASSERT_TRUE(answer.ok());
  EXPECT_TRUE(has_all_sections(*answer)) << *answer;
  EXPECT_THAT(section_problems(*answer), IsEmpty()) << *answer;
}

TEST(CocoTeacher, RefusesAPictureWithoutCaptions) {
  CocoPicture picture = street();
  picture.captions = {" . "};
  EXPECT_EQ(coco_answer(picture, {}, 0).status().code, Code::kInvalid);
}

TEST(CocoTeacher, RefusesACaptionThatReadsLikeAHeading) {
  CocoPicture picture = street();
  picture.captions = {"A dog. 2. Surrounding Objects & Context: a cat"};
  EXPECT_EQ(coco_answer(picture, {}, 0).status().code, Code::kInvalid);
}

// The kinds that a picture's captions and boxes name.
std::set<std::string> kinds_of_sources(const CocoPicture& picture) {
  std::set<std::string> kinds;
  for (const Instance& object : picture.objects) kinds.insert(object.kind);
  for (const std::string& caption : picture.captions) {
    for (const auto& mention : ObjectNames::coco().mentions(object_words(caption))) {
      kinds.insert(mention.kind);
    }
  }
  return kinds;
}

void expect_nothing_invented(const CocoPicture& picture, const std::string& answer) {
  const std::set<std::string> known = kinds_of_sources(picture);
  for (const auto& mention : ObjectNames::coco().mentions(object_words(answer))) {
    EXPECT_TRUE(known.contains(mention.kind)) << mention.kind << " in\n" << answer;
  }
}

TEST(CocoTeacher, InventsNoObjectInAnyOfItsPhrases) {
  CocoPicture picture = street();
  picture.objects = {{"vase", "indoor", 10, 10, 50, 50, false, 2500}};
  for (const char* scene : {"kitchen", "tennis court", "ocean", "plate", "desk", "snow", "stage"}) {
    for (const char* action : {"sitting", "riding", "eating", "flying", "holding", "surfing"}) {
      picture.captions = {cat("A vase ", action, " near a ", scene)};
      for (uint64_t seed = 0; seed < 6; ++seed) {
        expect_nothing_invented(picture, *coco_answer(picture, {}, seed));
      }
    }
  }
  for (const char* group :
       {"", "person", "animal", "vehicle", "food", "kitchen", "furniture", "electronic",
        "appliance", "sports", "accessory", "outdoor", "indoor"}) {
    for (const std::string_view sentence : inferences_of_group(group)) {
      EXPECT_THAT(ObjectNames::coco().mentions(object_words(sentence)), IsEmpty()) << sentence;
    }
  }
}

TEST(CocoTeacher, AnswersForRealPicturesAreWholeAndTrue) {
  const auto folder = test::shared("images/coco_val2017");
  if (!std::filesystem::exists(folder)) GTEST_SKIP();
  const auto pictures =
      read_coco(folder / "instances_val2017_subset.json", folder / "captions_val2017_subset.json");
  ASSERT_TRUE(pictures.ok()) << pictures.status().message;
  EXPECT_EQ(pictures->size(), 24U);
  std::set<std::string> styles;
  for (const CocoPicture& picture : *pictures) {
    const auto image = load_image(folder / picture.file);
    ASSERT_TRUE(image.ok());
    for (uint64_t seed = 0; seed < 5; ++seed) {
      const auto answer = coco_answer(picture, look_of(*image), seed);
      ASSERT_TRUE(answer.ok());
      EXPECT_TRUE(has_all_sections(*answer)) << *answer;
      EXPECT_THAT(section_problems(*answer), IsEmpty()) << *answer;
      expect_nothing_invented(picture, *answer);
      styles.insert(section(*answer, Section::kStyle));
    }
  }
  EXPECT_GT(styles.size(), 20U);
}

TEST(Phrases, CountAndListThings) {
  EXPECT_EQ(with_article("oven"), "an oven");
  EXPECT_EQ(with_article("umbrella"), "an umbrella");
  EXPECT_EQ(with_article("scissors"), "a pair of scissors");
  EXPECT_EQ(plural_of("wine glass"), "wine glasses");
  EXPECT_EQ(plural_of("knife"), "knives");
  EXPECT_EQ(plural_of("bus"), "buses");
  EXPECT_EQ(plural_of("teddy bear"), "teddy bears");
  EXPECT_EQ(plural_of("toy"), "toys");
  EXPECT_EQ(counted("person", 3), "three people");
  EXPECT_EQ(counted("broccoli", 2), "two pieces of broccoli");
  EXPECT_EQ(counted("book", 14), "more than ten books");
  EXPECT_EQ(enumerated({"a", "b", "c"}), "a, b and c");
}

TEST(Phrases, MakeSentencesOfCaptions) {
  EXPECT_EQ(as_sentence(" a  cat , on a mat\n"), "A cat, on a mat.");
  EXPECT_EQ(as_sentence("THERE ARE TWO PEOPLE"), "There are two people.");
  EXPECT_EQ(completed("A man riding a horse.", "There is"), "A man is riding a horse.");
  EXPECT_EQ(completed("Two dogs running on grass.", "There is"), "Two dogs are running on grass.");
  EXPECT_EQ(completed("A man and a woman sitting down.", "There is"),
            "A man and a woman are sitting down.");
  EXPECT_EQ(completed("A group of people cutting a ribbon.", "There is"),
            "A group of people are cutting a ribbon.");
  EXPECT_EQ(completed("A bowl of noodles with a fork.", "There is"),
            "There is a bowl of noodles with a fork.");
  for (const char* whole :
       {"A man rides a horse.", "Two buses go down a street.", "A bird is flying.",
        "A wooden pole sports several signs.", "Street signs on a corner."}) {
    EXPECT_EQ(completed(whole, "There is"), whole);
  }
  EXPECT_EQ(completed("A picture of a man riding a horse.", "There is"),
            "There is a picture of a man riding a horse.");
}

}  // namespace
}  // namespace fastvlm
