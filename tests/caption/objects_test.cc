// SPDX-License-Identifier: Apache-2.0
// Which objects a text names.
#include "caption/objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fastvlm {
namespace {

using testing::ElementsAre;

std::vector<std::string> kinds_in(const std::string& text) {
  std::vector<std::string> kinds;
  for (const ObjectMention& mention : ObjectNames::coco().mentions(object_words(text))) {
    kinds.push_back(mention.kind);
  }
  return kinds;
}

TEST(ObjectNames, KnowsCocosKinds) {
  EXPECT_EQ(ObjectNames::coco().kinds().size(), 80U);
  EXPECT_THAT(kinds_in("Two puppies and a hot dog, near the woman's buses."),
              ElementsAre("dog", "hot dog", "person", "bus"));
  EXPECT_THAT(kinds_in("a train station with toilet paper"), ElementsAre());
  EXPECT_THAT(kinds_in("knives, wine glasses and teddy bears"),
              ElementsAre("knife", "wine glass", "teddy bear"));
  EXPECT_EQ(ObjectNames::coco().kind_of("tv"), "tv");
  EXPECT_EQ(ObjectNames::coco().kind_of("octopus"), "");
}

TEST(ObjectNames, SaysWhichLineIsWrong) {
  EXPECT_THAT(ObjectNames::parse("# names\ndog puppy\n", "f").status().message,
              testing::HasSubstr("f: line 2"));
}

}  // namespace
}  // namespace fastvlm
