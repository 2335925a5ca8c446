// SPDX-License-Identifier: Apache-2.0
// People's ratings of captions, 1 to 5, on the model card's three questions. Goals: blind (a rater
// sees no model's name), every rater in an order of their own, nothing lost that was answered.
// Non-goals: the page on which they rate (cli/rate.cc).
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

enum class Question { kCompleteness, kStructure, kAccuracy };
inline constexpr size_t kQuestionCount = 3;
std::string_view question_name(Question question);  // "completeness", "structure", "accuracy"

inline constexpr int kHighestRating = 5;

struct RatingItem {
  std::string model;  // the name of the caption file, without its ending
  std::string image;
  std::filesystem::path picture;  // empty when it was not found
  std::string caption;
};

struct Rating {
  std::string rater;
  std::string model;
  std::string image;
  std::array<int, kQuestionCount> answers{};  // 1 to 5; 0: not answered
};

class RatingStudy {
 public:
  // Each .json and .jsonl file of `folder` but ratings.jsonl holds the captions of one model; the
  // pictures lie in `folder` or where the files name them from there.
  static Result<RatingStudy> open(const std::filesystem::path& folder);

  const std::vector<RatingItem>& items() const { return items_; }
  const std::vector<Rating>& ratings() const { return ratings_; }
  // The numbers of the items in this rater's order, always the same one.
  std::vector<size_t> order_for(std::string_view rater) const;
  // The rating of an item by a rater, or null.
  const Rating* find(std::string_view rater, size_t item) const;
  // Answers one question and writes folder/ratings.jsonl anew, whole or not at all.
  Status answer(const std::string& rater, size_t item, Question question, int value);

 private:
  Status load_ratings();
  Status save() const;

  std::filesystem::path folder_;
  std::vector<RatingItem> items_;
  std::vector<Rating> ratings_;
};

struct RatingMean {
  int count = 0;
  double mean = 0;
  double low = 0;  // 95 %, normal approximation, within the scale
  double high = 0;
};

struct RatingSummary {
  struct Model {
    std::string name;
    std::array<RatingMean, kQuestionCount> questions;
  };
  std::vector<Model> models;
  // Agreement between raters: Krippendorff's alpha for ordinal data; NaN when nothing was rated
  // twice.
  std::array<double, kQuestionCount> alpha{};
  int raters = 0;
};

RatingSummary summarize(const RatingStudy& study);

// Krippendorff's alpha for ordinal values 1 to 5 (Krippendorff, 2011): `units` hold what each unit
// was given, by any number of raters. NaN without two values in one unit.
double krippendorff_alpha(const std::vector<std::vector<int>>& units);

std::string to_json(const RatingSummary& summary);
std::string to_table(const RatingSummary& summary);

}  // namespace fastvlm
