// SPDX-License-Identifier: Apache-2.0
// Whether a seven-point caption is complete in form: the sections are there, in order, not empty,
// neither too short nor too long, nothing is said twice, and the answer was not cut off. Non-goals:
// whether it is true (grounding.h).
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "caption/schema.h"
#include "evaluate/evaluation_set.h"

namespace fastvlm {

enum class RubricPoint { kPresent, kInOrder, kFilled, kLength, kNoRepetition, kNotCut };
inline constexpr size_t kRubricPoints = 6;
std::string_view rubric_name(RubricPoint point);  // "sections_present", …

struct RubricLimits {
  int fewest_words = 3;  // of a section
  int most_words = 80;
};

struct CaptionRubric {
  std::array<bool, kRubricPoints> met{};
  std::array<int, kSectionCount> words{};  // of each section; -1 without it

  int points() const;  // of kRubricPoints
};

// `finish_reason` "length" and "loop" mean that the answer was cut; without one, so does a text
// that does not end like a sentence.
CaptionRubric rubric(std::string_view caption, std::string_view finish_reason,
                     const RubricLimits& limits = {});

std::vector<CaptionRubric> rubric(const EvaluationSet& set, const RubricLimits& limits = {});

// Share of the captions that meet a point; `all` is not empty.
double rubric_share(const std::vector<CaptionRubric>& all, RubricPoint point);

}  // namespace fastvlm
