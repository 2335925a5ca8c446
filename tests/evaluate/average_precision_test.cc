// SPDX-License-Identifier: Apache-2.0
// Cases computed by hand from the rules, and one set scored by pycocotools
// (tests/goldens/detector/README.md).
#include "evaluate/average_precision.h"

#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/files.h"

namespace fastvlm {
namespace {

Instance object(const std::string& kind, double x, double y, double width, double height,
                bool crowd = false) {
  return {kind, "", x, y, width, height, crowd, width * height};
}

TEST(AveragePrecision, NothingToFindIsNoScore) {
  EXPECT_EQ(average_precision({}).mean, -1);
  const std::vector<DetectionImage> images = {{{}, {{"dog", 0.9, 0, 0, 10, 10}}}};
  EXPECT_EQ(average_precision(images).mean, -1);
  const std::vector<DetectionImage> missed = {{{object("dog", 0, 0, 50, 50)}, {}}};
  EXPECT_EQ(average_precision(missed).mean, 0);
  EXPECT_EQ(average_precision(missed).small, -1);
  EXPECT_EQ(average_precision(missed).medium, 0);
}

TEST(AveragePrecision, APerfectBoxAndAShiftedOne) {
  const std::vector<DetectionImage> images = {
      {{object("dog", 0, 0, 100, 100)}, {{"dog", 0.3, 0, 0, 100, 100}}}};
  EXPECT_DOUBLE_EQ(average_precision(images).mean, 1);
  EXPECT_DOUBLE_EQ(average_precision(images).large, 1);
  // 100x100 shifted by 20: IoU 80 / 120 = 0.667, right at 0.50, 0.55, 0.60 and 0.65.
  const std::vector<DetectionImage> shifted = {
      {{object("dog", 0, 0, 100, 100)}, {{"dog", 0.3, 20, 0, 100, 100}}}};
  EXPECT_DOUBLE_EQ(average_precision(shifted).mean, 0.4);
  EXPECT_DOUBLE_EQ(average_precision(shifted).at_50, 1);
  EXPECT_DOUBLE_EQ(average_precision(shifted).at_75, 0);
  EXPECT_DOUBLE_EQ(average_precision(shifted).recall, 0.4);
}

TEST(AveragePrecision, WrongBoxesCostByTheirRank) {
  // Two objects; by score: right, wrong, right. Precision 1 up to recall 0.5 (51 points), then 2/3.
  std::vector<DetectionImage> images = {
      {{object("dog", 0, 0, 100, 100), object("dog", 200, 0, 100, 100)},
       {{"dog", 0.9, 0, 0, 100, 100},
        {"dog", 0.8, 500, 0, 100, 100},
        {"dog", 0.7, 200, 0, 100, 100}}}};
  EXPECT_NEAR(average_precision(images).mean, (51 + 50 * 2.0 / 3) / 101, 1e-12);
  // The second box on an object is a wrong one.
  images[0].predicted[1] = {"dog", 0.8, 0, 0, 100, 100};
  EXPECT_NEAR(average_precision(images).mean, (51 + 50 * 2.0 / 3) / 101, 1e-12);
  // Another kind counts by itself: the mean of both.
  images[0].truth.push_back(object("cat", 0, 0, 100, 100));
  EXPECT_NEAR(average_precision(images).mean, (51 + 50 * 2.0 / 3) / 101 / 2, 1e-12);
  EXPECT_EQ(average_precision(images).kinds, 2U);
  EXPECT_EQ(average_precision(images).objects, 3U);
}

TEST(AveragePrecision, CrowdsNeitherRewardNorPunish) {
  // Three boxes lie in the crowd, before the right one: 80 of 100 columns of each.
  std::vector<DetectionImage> images = {
      {{object("dog", 0, 0, 400, 100, true), object("dog", 500, 0, 100, 100)},
       {{"dog", 0.9, -20, 0, 100, 100},
        {"dog", 0.8, -20, 0, 100, 100},
        {"dog", 0.7, 500, 0, 100, 100}}}};
  const AveragePrecision score = average_precision(images);
  EXPECT_DOUBLE_EQ(score.at_50, 1);
  EXPECT_DOUBLE_EQ(score.at_75, 1);
  // At 0.85, 0.90 and 0.95 they are wrong: precision 1/3 there (0.80 is met).
  EXPECT_NEAR(score.mean, (7 + 3 / 3.0) / 10, 1e-12);
  EXPECT_EQ(score.objects, 1U);
}

TEST(AveragePrecision, SizesGoByTheAreaOfTheMask) {
  Instance round = object("dog", 0, 0, 100, 100);
  round.area = 5000;  // medium, though its box is large
  const std::vector<DetectionImage> images = {{{round}, {{"dog", 0.9, 0, 0, 100, 100}}}};
  const AveragePrecision score = average_precision(images);
  EXPECT_DOUBLE_EQ(score.medium, 1);
  EXPECT_EQ(score.large, -1);
}

TEST(AveragePrecision, AHundredBoxesCount) {
  DetectionImage image{{object("dog", 0, 0, 100, 100)}, {}};
  for (int i = 0; i < 100; ++i) image.predicted.push_back({"dog", 0.9, 500, 0, 10, 10});
  image.predicted.push_back({"dog", 0.8, 0, 0, 100, 100});
  EXPECT_EQ(average_precision({&image, 1}).mean, 0);
  image.predicted.back().score = 0.9;  // equal scores keep their order
  EXPECT_EQ(average_precision({&image, 1}).mean, 0);
  image.predicted.back().score = 0.91;
  EXPECT_DOUBLE_EQ(average_precision({&image, 1}).mean, 1);
}

TEST(AveragePrecision, EqualsPycocotools) {
  std::ifstream file(test::golden("detector") / "average_precision.json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  std::vector<DetectionImage> images;
  for (const auto& entry : golden["images"]) {
    DetectionImage& image = images.emplace_back();
    for (const auto& o : entry["truth"]) {
      image.truth.push_back({o[0], "", o[1], o[2], o[3], o[4], o[5] == 1, o[6]});
    }
    for (const auto& p : entry["predicted"]) {
      image.predicted.push_back({p[0], p[1], p[2], p[3], p[4], p[5]});
    }
  }
  const AveragePrecision score = average_precision(images);
  const auto expected = golden["expected"];
  EXPECT_NEAR(score.mean, expected["mean"], 1e-12);
  EXPECT_NEAR(score.at_50, expected["at_50"], 1e-12);
  EXPECT_NEAR(score.at_75, expected["at_75"], 1e-12);
  EXPECT_NEAR(score.small, expected["small"], 1e-12);
  EXPECT_NEAR(score.medium, expected["medium"], 1e-12);
  EXPECT_NEAR(score.large, expected["large"], 1e-12);
  EXPECT_NEAR(score.recall, expected["recall"], 1e-12);
}

}  // namespace
}  // namespace fastvlm
