// SPDX-License-Identifier: Apache-2.0
// How far scores would move with another sample of images: the percentile bootstrap (Efron, 1979),
// and for two models on the same images the paired one (Koehn, 2004). Resamples are drawn from a
// fixed seed, so that the same input gives the same intervals everywhere.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "evaluate/corpus_scores.h"

namespace fastvlm {

struct BootstrapOptions {
  int resamples = 1000;  // >= 1
  uint64_t seed = 0;
};

struct Interval {
  double low = 0;
  double high = 0;
};

// 95 % intervals of the corpus scores; nothing for a metric that was not asked for.
using MetricIntervals = std::array<std::optional<Interval>, kMetricCount>;
MetricIntervals bootstrap(const Scores& scores, const BootstrapOptions& options = {});

struct Difference {
  double value = 0;   // second minus first, on the whole set
  Interval interval;  // 95 %
  // Two-sided: how often resamples put the difference on the other side of 0, doubled; at least
  // 1 / (resamples + 1).
  double p_value = 1;
};

// Both on the same images in the same order.
using MetricDifferences = std::array<std::optional<Difference>, kMetricCount>;
MetricDifferences paired_bootstrap(const Scores& first, const Scores& second,
                                   const BootstrapOptions& options = {});

}  // namespace fastvlm
