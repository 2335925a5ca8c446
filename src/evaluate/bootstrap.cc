// SPDX-License-Identifier: Apache-2.0
#include "evaluate/bootstrap.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace fastvlm {
namespace {

// SplitMix64 (Steele et al., 2014): the standard library's distributions differ between systems.
class Draws {
 public:
  explicit Draws(uint64_t seed) : state_(seed) {}
  // Uniform below `bound` but for a bias of bound / 2^32.
  uint32_t below(uint32_t bound) {
    state_ += 0x9E3779B97F4A7C15ULL;
    uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9ULL;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBULL;
    mixed ^= mixed >> 31;
    return static_cast<uint32_t>(((mixed >> 32) * bound) >> 32);
  }

 private:
  uint64_t state_;
};

// Calls fn(members) for each resample.
template <typename Function>
void for_each_resample(size_t images, const BootstrapOptions& options, const Function& fn) {
  Draws draws(options.seed);
  std::vector<uint32_t> members(images);
  for (int i = 0; i < options.resamples; ++i) {
    for (uint32_t& member : members) member = draws.below(static_cast<uint32_t>(images));
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
