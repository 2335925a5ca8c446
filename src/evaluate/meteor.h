// SPDX-License-Identifier: Apache-2.0
// METEOR 1.5 for English as coco-caption runs it (Denkowski and Lavie, 2014): weighted harmonic
// mean of precision and recall over aligned words, times a penalty for scattered matches. The best
// reference counts (the first of equal ones), and the corpus score comes from added statistics, not
// from a mean of scores.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "evaluate/tokenized.h"
#include "evaluate/word_matcher.h"

namespace fastvlm {

// The counts that make a score; "content" and "function" part words by a list of 93.
struct MeteorStatistics {
  struct Matched {
    double candidate_content = 0;
    double reference_content = 0;
    double candidate_function = 0;
    double reference_function = 0;
  };
  double candidate_length = 0;
  double reference_length = 0;
  double candidate_function = 0;
  double reference_function = 0;
  std::array<Matched, kMeteorModules> matched{};
  double chunks = 0;

  double candidate_matched() const;
  double reference_matched() const;
  bool is_perfect() const;  // every word of both matched, in one chunk
  // A perfect segment adds no chunk.
  void add(const MeteorStatistics& other);
};

double meteor_score(const MeteorStatistics& statistics);

struct MeteorScores {
  std::vector<double> images;
  std::vector<MeteorStatistics> statistics;  // of each image's best reference
};

MeteorScores meteor(std::span<const TokenizedImage> images, const MeteorModules& modules);

}  // namespace fastvlm
