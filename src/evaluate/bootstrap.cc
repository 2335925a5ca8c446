// SPDX-License-Identifier: Apache-2.0
#include "evaluate/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"

namespace fastvlm {
namespace {

// Uniform below `bound` but for a bias of bound / 2^32.
uint32_t below(uint32_t bound, Generator& generator) {
  return static_cast<uint32_t>(((generator.next() >> 32) * bound) >> 32);
}

// Calls fn(members) for each resample.
template <typename Function>
void for_each_resample(size_t images, const BootstrapOptions& options, const Function& fn) {
  Generator generator(options.seed);
  std::vector<uint32_t> members(images);
  for (int i = 0; i < options.resamples; ++i) {
    for (uint32_t& member : members) member = below(static_cast<uint32_t>(images), generator);
    fn(members);
  }
}

// The middle 95 % of `values`.
Interval middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&values](double fraction) {
    return values[static_cast<size_t>(
        std::lround(fraction * static_cast<double>(values.size() - 1)))];
  };
  return {at(0.025), at(0.975)};
}

double two_sided_p(const std::vector<double>& differences) {
  const auto count = [&differences](auto&& is) {
    return static_cast<double>(std::count_if(differences.begin(), differences.end(), is));
  };
  const double below = count([](double d) { return d <= 0; });
  const double above = count([](double d) { return d >= 0; });
  const double p = 2 * (std::min(below, above) + 1) / (static_cast<double>(differences.size()) + 1);
  return std::min(1.0, p);
}

}  // namespace

MetricIntervals bootstrap(const Scores& scores, const BootstrapOptions& options) {
  std::array<std::vector<double>, kMetricCount> drawn;
  for_each_resample(scores.size(), options, [&](const std::vector<uint32_t>& members) {
    const MetricValues values = scores.corpus(members);
    for (size_t m = 0; m < kMetricCount; ++m) {
      if (values[m]) drawn[m].push_back(*values[m]);
    }
  });
  MetricIntervals intervals;
  for (size_t m = 0; m < kMetricCount; ++m) {
    if (!drawn[m].empty()) intervals[m] = middle(std::move(drawn[m]));
  }
  return intervals;
}

MetricDifferences paired_bootstrap(const Scores& first, const Scores& second,
                                   const BootstrapOptions& options) {
  std::array<std::vector<double>, kMetricCount> drawn;
  for_each_resample(first.size(), options, [&](const std::vector<uint32_t>& members) {
    const MetricValues a = first.corpus(members);
    const MetricValues b = second.corpus(members);
    for (size_t m = 0; m < kMetricCount; ++m) {
      if (a[m] && b[m]) drawn[m].push_back(*b[m] - *a[m]);
    }
  });
  const MetricValues a = first.corpus();
  const MetricValues b = second.corpus();
  MetricDifferences differences;
  for (size_t m = 0; m < kMetricCount; ++m) {
    if (drawn[m].empty()) continue;
    const double p = two_sided_p(drawn[m]);
    differences[m] = Difference{*b[m] - *a[m], middle(std::move(drawn[m])), p};
  }
  return differences;
}

}  // namespace fastvlm
