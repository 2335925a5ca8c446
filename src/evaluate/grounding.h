// SPDX-License-Identifier: Apache-2.0
// Whether captions name what is there: CHAIR (Rohrbach et al., 2018) against COCO's objects, how
// many of the objects and of the detector's tags they name, and what they say against the tags.
// Goals: counts per image and per section of a seven-point caption. Non-goals: attributes,
// relations, kinds of object beyond COCO's 80.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "caption/objects.h"
#include "caption/schema.h"
#include "dataset/instances.h"
#include "evaluate/evaluation_set.h"

namespace fastvlm {

// Sums over captions, or over one section of each.
struct GroundingCounts {
  int captions = 0;
  int hallucinating_captions = 0;  // with a mention of what is not there
  int mentions = 0;
  int hallucinated = 0;  // mentions of kinds that neither annotations nor references know
  int objects = 0;       // kinds that are there
  int recalled = 0;      // of them, those that the caption names
  int tags = 0;          // kinds that the detector named
  int tags_used = 0;
  int tags_contradicted = 0;  // "no dog", "the dog on the right" against dog (left)
  int unknown = 0;            // kinds named that neither detector nor annotations know

  double chair_i() const { return ratio(hallucinated, mentions); }
  double chair_s() const { return ratio(hallucinating_captions, captions); }
  double recall() const { return ratio(recalled, objects); }
  double tag_use() const { return ratio(tags_used, tags); }
  void add(const GroundingCounts& other);

 private:
  static double ratio(int part, int whole) {
    return whole == 0 ? 0 : static_cast<double>(part) / whole;
  }
};

struct ImageGrounding {
  GroundingCounts counts;
  std::array<GroundingCounts, kSectionCount> sections;  // zeros without that section
  std::vector<std::string> mentioned;                   // kinds, in the order of the text
  std::vector<std::string> hallucinated;
  std::vector<std::string> missed;
  std::vector<std::string> unknown;
  std::vector<std::string> contradicted;
};

struct Grounding {
  GroundingCounts corpus;
  std::array<GroundingCounts, kSectionCount> sections;
  std::vector<ImageGrounding> images;
};

// What is there: the kinds of `instances` and those that the references name, as CHAIR has it. An
// image that `instances` lacks is an error that names it.
Result<Grounding> ground(const EvaluationSet& set, const Instances& instances,
                         const ObjectNames& names);

}  // namespace fastvlm
