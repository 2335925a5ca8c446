// SPDX-License-Identifier: Apache-2.0
// One evaluation from end to end, as data: what a table, JSON and a report are made of.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "evaluate/bootstrap.h"
#include "evaluate/corpus_scores.h"
#include "evaluate/evaluation_set.h"
#include "evaluate/factors.h"
#include "evaluate/grounding.h"
#include "evaluate/rubric.h"

namespace fastvlm {

struct EvaluationOptions {
  MetricChoice metrics;
  MeteorModules meteor;
  const DocumentFrequencies* frequencies = nullptr;  // null: those of the set
  const Instances* instances = nullptr;              // null: no grounding
  Factors factors;                                   // stand before those of the instances
  bool tokenized = false;
  BootstrapOptions bootstrap;  // resamples 0: no intervals
};

// The images that share a factor, by number.
struct FactorMembers {
  std::string name;
  std::vector<uint32_t> images;
};

struct Evaluation {
  std::string name;  // of the predictions
  EvaluationSet set;
  std::vector<TokenizedImage> tokens;
  Scores scores;
  MetricIntervals intervals;
  std::vector<FactorMembers> factors;  // empty without instances and factors
  std::optional<Grounding> grounding;  // with instances
  std::vector<CaptionRubric> rubric;   // empty unless a caption has two sections or more
  bool saved_frequencies = false;      // CIDEr against a saved table
};

Result<Evaluation> evaluate(std::string name, EvaluationSet set, const EvaluationOptions& options);

}  // namespace fastvlm
