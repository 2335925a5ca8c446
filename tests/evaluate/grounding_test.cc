// SPDX-License-Identifier: Apache-2.0
// Grounding, rubric, factors, bootstrap.
#include "evaluate/grounding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "evaluate/bootstrap.h"
#include "evaluate/document_frequency_file.h"
#include "evaluate/factors.h"
#include "evaluate/rubric.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using testing::ElementsAre;

EvaluationSet one(const std::string& caption, std::vector<Tag> tags = {}) {
  return {{{"1", "", {"A dog on a couch."}, caption, std::move(tags), ""}}, {}};
}

ImageInstances instances_of(const std::vector<std::pair<std::string, std::string>>& kinds) {
  ImageInstances image{640, 480, {}};
  double x = 0;
  for (const auto& [kind, group] : kinds) {
    image.objects.push_back({kind, group, x, 0, 100, 100, false});
    x += 110;
  }
  return image;
}

TEST(Grounding, CountsWhatIsNotThere) {
  const Instances instances = {{"1", instances_of({{"dog", "animal"}, {"tv", "electronic"}})}};
  const Result<Grounding> grounding =
      ground(one("A dog, a cat and another cat sit on the sofa."), instances, ObjectNames::coco());
  ASSERT_TRUE(grounding.ok());
  const GroundingCounts& counts = grounding->corpus;
  EXPECT_EQ(counts.mentions, 4);
  EXPECT_EQ(counts.hallucinated, 2);  // the couch is in the reference
  EXPECT_EQ(counts.chair_i(), 0.5);
  EXPECT_EQ(counts.chair_s(), 1);
  EXPECT_EQ(counts.objects, 3);
  EXPECT_EQ(counts.recalled, 2);
  EXPECT_THAT(grounding->images[0].hallucinated, ElementsAre("cat"));
  EXPECT_THAT(grounding->images[0].missed, ElementsAre("tv"));
  EXPECT_THAT(grounding->images[0].unknown, ElementsAre("cat", "couch"));
}

TEST(Grounding, TagsUsedAndContradicted) {
  const Instances instances = {{"1", instances_of({{"dog", "animal"}})}};
  const std::vector<Tag> tags = {{"dog", "left", {}}, {"cat", "", {}}, {"chair", "right", {}}};
  const auto counts = [&](const std::string& caption) {
    return ground(one(caption, tags), instances, ObjectNames::coco())->corpus;
  };
  EXPECT_EQ(counts("A dog on the left.").tags_contradicted, 0);
  EXPECT_EQ(counts("A dog on the right.").tags_contradicted, 1);
  EXPECT_EQ(counts("A dog to the right of the couch.").tags_contradicted, 0);
  EXPECT_EQ(counts("A dog without any cat.").tags_contradicted, 1);
  EXPECT_EQ(counts("A dog without any cat.").tags_used, 1);
  EXPECT_EQ(counts("A dog beside a cat.").tags_used, 2);
  EXPECT_EQ(counts("A dog beside a cat.").tags, 3);
}

TEST(Grounding, SectionsAreCountedApart) {
  const Instances instances = {{"1", instances_of({{"dog", "animal"}})}};
  const Result<Grounding> grounding =
      ground(one("1. Main Focus – A dog.\n2. Surrounding Objects & Context – A car."), instances,
             ObjectNames::coco());
  ASSERT_TRUE(grounding.ok());
  EXPECT_EQ(grounding->sections[0].hallucinated, 0);
  EXPECT_EQ(grounding->sections[1].hallucinated, 1);
  EXPECT_EQ(grounding->sections[2].captions, 0);
}

TEST(Grounding, ImagesWithoutInstancesAreNamed) {
  EXPECT_THAT(ground(one("A dog."), {}, ObjectNames::coco()).status().message,
              testing::HasSubstr("are not in it: 1"));
}

const char* const kWhole =
    "1. Main Focus – A cat sits there.\n2. Surrounding Objects & Context – A red bowl stands "
    "near.\n"
    "3. Spatial Relationships – The bowl is left.\n4. Activities & Interactions – It only looks "
    "around.\n5. Scene Type & Time – A kitchen at noon.\n6. Inferences & Intent – It may eat "
    "soon.\n"
    "7. Style & Aesthetic – Bright and warm colors.";

bool meets(const CaptionRubric& rubric, RubricPoint point) {
  return rubric.met[static_cast<size_t>(point)];
}

TEST(Rubric, APerfectCaptionMeetsAllPoints) {
  const CaptionRubric found = rubric(kWhole, "stop");
  EXPECT_EQ(found.points(), 6);
  EXPECT_THAT(found.words, ElementsAre(4, 5, 4, 4, 4, 4, 4));
}

TEST(Rubric, EachPointCanBeMissed) {
  const std::string whole = kWhole;
  EXPECT_FALSE(meets(rubric(whole.substr(whole.find("2. ")), ""), RubricPoint::kPresent));
  EXPECT_FALSE(
      meets(rubric("2. Spatial Relationships – Left of it.\n1. Main Focus – A cat here.", ""),
            RubricPoint::kInOrder));
  EXPECT_FALSE(meets(rubric("1. Main Focus –\n2. Spatial Relationships – Left of it.", ""),
                     RubricPoint::kFilled));
  EXPECT_FALSE(meets(rubric("1. Main Focus – Cat.\n2. Spatial Relationships – Left of it.", ""),
                     RubricPoint::kLength));
  EXPECT_FALSE(meets(rubric("A cat sits there. It eats. A cat sits there.", ""),
                     RubricPoint::kNoRepetition));
  EXPECT_FALSE(meets(rubric(kWhole, "length"), RubricPoint::kNotCut));
  EXPECT_FALSE(meets(rubric("1. Main Focus – A cat that", ""), RubricPoint::kNotCut));
}

TEST(Factors, FromInstances) {
  EXPECT_THAT(factors_of(instances_of({{"dog", "animal"}})),
              ElementsAre("single_object", "density_low", "animals"));
  EXPECT_THAT(factors_of(instances_of({{"car", "vehicle"}, {"bus", "vehicle"}})),
              ElementsAre("many_objects", "outdoor", "density_low", "street"));
  ImageInstances close = instances_of({{"cup", "kitchen"}, {"cat", "animal"}});
  close.objects[0].width = 600;
  close.objects[0].height = 400;
  EXPECT_THAT(factors_of(close), ElementsAre("many_objects", "indoor", "density_low", "animals",
                                             "close_up", "occlusion"));
}

Scores scores_of(const std::vector<std::string>& candidates) {
  std::vector<TokenizedImage> images;
  for (const std::string& candidate : candidates) {
    images.push_back({{"a dog runs on the grass"}, candidate});
  }
  return Scores(images, {.meteor = false}, {}, nullptr);
}

TEST(Bootstrap, TellsABetterModelFromAWorse) {
  const std::vector<std::string> good(20, "a dog runs on the grass");
  std::vector<std::string> bad(20, "a cat sits");
  bad[0] = good[0];
  const Scores first = scores_of(bad);
  const Scores second = scores_of(good);
  const auto rouge = static_cast<size_t>(Metric::kRougeL);
  const MetricDifferences differences = paired_bootstrap(first, second);
  EXPECT_GT(differences[rouge]->interval.low, 0);
  EXPECT_LT(differences[rouge]->p_value, 0.01);
  EXPECT_EQ(paired_bootstrap(first, first)[rouge]->p_value, 1);
  const MetricIntervals intervals = bootstrap(first);
  EXPECT_LE(intervals[rouge]->low, *first.corpus()[rouge]);
  EXPECT_GE(intervals[rouge]->high, *first.corpus()[rouge]);
  EXPECT_EQ(bootstrap(first)[rouge]->low, intervals[rouge]->low) << "the same draws";
}

TEST(DocumentFrequencies, SavedAndLoaded) {
  const test::TemporaryFolder folder;
  const std::vector<TokenizedImage> images = {{{"a dog", "a brown dog"}, ""}, {{"a cat"}, ""}};
  const DocumentFrequencies table = document_frequencies(images);
  ASSERT_TRUE(save_document_frequencies(folder / "df.json", table).ok());
  const Result<DocumentFrequencies> loaded = load_document_frequencies(folder / "df.json");
  ASSERT_TRUE(loaded.ok()) << loaded.status().message;
  EXPECT_EQ(loaded->images, 2);
  EXPECT_EQ(loaded->ngrams, table.ngrams);
  EXPECT_EQ(loaded->ngrams.at("a"), 2);
  EXPECT_EQ(loaded->ngrams.at("brown dog"), 1);
  std::ofstream(folder / "bad.json") << R"({"format": "fastvlm document frequencies 1", "images": 2,
                                            "ngrams": {"a": 3}})";
  EXPECT_THAT(load_document_frequencies(folder / "bad.json").status().message,
              testing::HasSubstr("key `ngrams.a`: expected 1 to 2"));
}

}  // namespace
}  // namespace fastvlm
