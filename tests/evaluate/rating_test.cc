// SPDX-License-Identifier: Apache-2.0
#include "evaluate/rating.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "support/files.h"

namespace fastvlm {
namespace {

TEST(KrippendorffAlpha, ExampleOfThePaper) {
  // Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", section E: four observers,
  // twelve units, gaps; its ordinal alpha is .815.
  const std::vector<std::vector<int>> units = {
      {1, 1, 1},    {2, 2, 3, 2}, {3, 3, 3, 3}, {3, 3, 3, 3}, {2, 2, 2, 2}, {1, 2, 3, 4},
      {4, 4, 4, 4}, {1, 1, 2, 1}, {2, 2, 2, 2}, {5, 5, 5},    {1, 1},       {3}};
  EXPECT_NEAR(krippendorff_alpha(units), 0.815, 5e-4);
}

TEST(KrippendorffAlpha, NothingRatedTwice) {
  EXPECT_TRUE(std::isnan(krippendorff_alpha({{1}, {2}})));
  EXPECT_EQ(krippendorff_alpha({{3, 3}, {3, 3}}), 1);
}

class RatingStudyTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* model : {"float", "q4"}) {
      std::ofstream file(folder_ / (std::string(model) + ".jsonl"));
      for (int i = 0; i < 20; ++i) {
        file << R"({"image": ")" << i << R"(.jpg", "text": "by )" << model << R"("})"
             << "\n";
      }
    }
  }
  RatingStudy open() const {
    Result<RatingStudy> study = RatingStudy::open(folder_.path());
    EXPECT_TRUE(study.ok()) << study.status().message;
    return std::move(study).value();
  }
  test::TemporaryFolder folder_;
};

TEST_F(RatingStudyTest, EveryRaterHasAnOrderOfTheirOwn) {
  const RatingStudy study = open();
  ASSERT_EQ(study.items().size(), 40U);
  std::vector<size_t> order = study.order_for("Ann");
  EXPECT_EQ(order, study.order_for("Ann"));
  EXPECT_NE(order, study.order_for("Bob"));
  std::sort(order.begin(), order.end());
  for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], i);
}

TEST_F(RatingStudyTest, AnswersAreThereAgain) {
  RatingStudy study = open();
  ASSERT_TRUE(study.answer("Ann", 3, Question::kStructure, 4).ok());
  ASSERT_TRUE(study.answer("Ann", 3, Question::kStructure, 5).ok());
  EXPECT_FALSE(study.answer("Ann", 40, Question::kStructure, 5).ok());
  EXPECT_FALSE(study.answer("Ann", 3, Question::kStructure, 6).ok());
  EXPECT_FALSE(study.answer("", 3, Question::kStructure, 5).ok());
  const RatingStudy again = open();
  ASSERT_NE(again.find("Ann", 3), nullptr);
  EXPECT_THAT(again.find("Ann", 3)->answers, testing::ElementsAre(0, 5, 0));
  EXPECT_EQ(again.find("Bob", 3), nullptr);
}

TEST_F(RatingStudyTest, Summary) {
  RatingStudy study = open();
  for (size_t item = 0; item < study.items().size(); ++item) {
    const bool precise = study.items()[item].model == "float";
    for (const char* rater : {"Ann", "Bob"}) {
      ASSERT_TRUE(study.answer(rater, item, Question::kAccuracy, precise ? 5 : 3).ok());
    }
  }
  const RatingSummary summary = summarize(study);
  EXPECT_EQ(summary.raters, 2);
  ASSERT_EQ(summary.models.size(), 2U);
  EXPECT_EQ(summary.models[0].name, "float");
  EXPECT_EQ(summary.models[0].questions[2].mean, 5);
  EXPECT_EQ(summary.models[1].questions[2].count, 40);
  EXPECT_EQ(summary.alpha[2], 1);
  EXPECT_TRUE(std::isnan(summary.alpha[0]));
  EXPECT_THAT(to_table(summary), testing::HasSubstr("q4  3.00  [3.00, 3.00]  40 ratings"));
}

TEST_F(RatingStudyTest, DamagedFilesSayWhere) {
  std::ofstream(folder_ / "ratings.jsonl") << R"({"rater": "Ann", "model": "q4", "image": "1",
      "structure": 9})";
  EXPECT_THAT(RatingStudy::open(folder_.path()).status().message,
              testing::HasSubstr("ratings.jsonl: line 1"));
  EXPECT_EQ(RatingStudy::open(folder_ / "none").status().code, Code::kNotFound);
}

}  // namespace
}  // namespace fastvlm
