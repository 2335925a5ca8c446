// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/strings.h"
#include "evaluate/rating.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;
using Counts = std::array<double, kHighestRating>;

RatingMean mean_of(const std::vector<int>& values) {
  RatingMean found;
  found.count = static_cast<int>(values.size());
  if (values.empty()) return found;
  const auto count = static_cast<double>(values.size());
  for (const int value : values) found.mean += value / count;
  double squares = 0;
  for (const int value : values) squares += (value - found.mean) * (value - found.mean);
  const double error = values.size() > 1 ? std::sqrt(squares / (count - 1) / count) : 0;
  found.low = std::max(found.mean - 1.96 * error, 1.0);
  found.high = std::min(found.mean + 1.96 * error, static_cast<double>(kHighestRating));
  return found;
}

// Ordinal distance of two ratings: what lies between them, both ends by half.
double distance(const Counts& totals, size_t a, size_t b) {
  double between = 0;
  for (size_t i = std::min(a, b); i <= std::max(a, b); ++i) between += totals[i];
  between -= (totals[a] + totals[b]) / 2;
  return between * between;
}

std::string fixed(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

}  // namespace

double krippendorff_alpha(const std::vector<std::vector<int>>& units) {
  std::array<Counts, kHighestRating> coincidences{};
  for (const std::vector<int>& unit : units) {
    if (unit.size() < 2) continue;
    for (size_t i = 0; i < unit.size(); ++i) {
      for (size_t j = 0; j < unit.size(); ++j) {
        if (i == j) continue;
        coincidences[static_cast<size_t>(unit[i] - 1)][static_cast<size_t>(unit[j] - 1)] +=
            1.0 / static_cast<double>(unit.size() - 1);
      }
    }
  }
  Counts totals{};
  double pairs = 0;
  for (size_t a = 0; a < kHighestRating; ++a) {
    for (size_t b = 0; b < kHighestRating; ++b) totals[a] += coincidences[a][b];
    pairs += totals[a];
  }
  if (pairs == 0) return std::numeric_limits<double>::quiet_NaN();
  double observed = 0;
  double expected = 0;
  for (size_t a = 0; a < kHighestRating; ++a) {
    for (size_t b = 0; b < kHighestRating; ++b) {
      observed += coincidences[a][b] * distance(totals, a, b);
      expected += totals[a] * totals[b] * distance(totals, a, b);
    }
  }
  return expected == 0 ? 1 : 1 - (pairs - 1) * observed / expected;
}

RatingSummary summarize(const RatingStudy& study) {
  RatingSummary summary;
  std::set<std::string> raters;
  std::map<std::string, std::array<std::vector<int>, kQuestionCount>> by_model;
  std::map<std::pair<std::string, std::string>, std::array<std::vector<int>, kQuestionCount>>
      by_unit;
  for (const RatingItem& item : study.items()) by_model[item.model];
  for (const Rating& rating : study.ratings()) {
    raters.insert(rating.rater);
    for (size_t i = 0; i < kQuestionCount; ++i) {
      if (rating.answers[i] == 0) continue;
      by_model[rating.model][i].push_back(rating.answers[i]);
      by_unit[{rating.model, rating.image}][i].push_back(rating.answers[i]);
    }
  }
  summary.raters = static_cast<int>(raters.size());
  for (const auto& [name, values] : by_model) {
    RatingSummary::Model model{name, {}};
    for (size_t i = 0; i < kQuestionCount; ++i) model.questions[i] = mean_of(values[i]);
    summary.models.push_back(std::move(model));
  }
  for (size_t i = 0; i < kQuestionCount; ++i) {
    std::vector<std::vector<int>> units;
    for (const auto& [unit, values] : by_unit) units.push_back(values[i]);
    summary.alpha[i] = krippendorff_alpha(units);
  }
  return summary;
}

std::string to_json(const RatingSummary& summary) {
  Json object = {{"raters", summary.raters}, {"models", Json::object()}, {"alpha", Json::object()}};
  for (size_t i = 0; i < kQuestionCount; ++i) {
    const std::string question(question_name(static_cast<Question>(i)));
    const double alpha = summary.alpha[i];
    object["alpha"][question] = std::isnan(alpha) ? Json(nullptr) : Json(alpha);
    for (const RatingSummary::Model& model : summary.models) {
      const RatingMean& mean = model.questions[i];
      Json& entry = object["models"][model.name][question];
      entry["ratings"] = mean.count;
      if (mean.count == 0) continue;
      entry["mean"] = mean.mean;
      entry["interval_95"] = {mean.low, mean.high};
    }
  }
  return object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string to_table(const RatingSummary& summary) {
  std::string text = cat(summary.raters, summary.raters == 1 ? " rater\n" : " raters\n");
  for (size_t i = 0; i < kQuestionCount; ++i) {
    const double alpha = summary.alpha[i];
    text += cat("\n", question_name(static_cast<Question>(i)), "  (Krippendorff's alpha ",
                std::isnan(alpha) ? "unknown: nothing was rated twice" : fixed(alpha, 3), ")\n");
    for (const RatingSummary::Model& model : summary.models) {
      const RatingMean& mean = model.questions[i];
      text += cat("  ", model.name, "  ");
      text += mean.count == 0 ? std::string("not rated")
                              : cat(fixed(mean.mean, 2), "  [", fixed(mean.low, 2), ", ",
                                    fixed(mean.high, 2), "]  ", mean.count, " ratings");
      text += '\n';
    }
  }
  return text;
}

}  // namespace fastvlm
