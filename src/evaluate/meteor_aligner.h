// SPDX-License-Identifier: Apache-2.0
// The alignment of a candidate with a reference, chosen among all matches by beam search over the
// reference from left to right. Goals: the alignment that METEOR 1.5 finds, its habits in ranking
// included, which its published description does not give (docs/METRICS.md). Non-goals: the best
// alignment.
#pragma once

#include <vector>

#include "evaluate/word_matcher.h"

namespace fastvlm {

struct Alignment {
  std::vector<WordMatch> matches;  // in the order of the reference, none over another
  int chunks = 0;                  // runs of matches that follow each other in both captions
};

Alignment align(const MatchGrid& grid);

}  // namespace fastvlm
