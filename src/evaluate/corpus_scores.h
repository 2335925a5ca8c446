// SPDX-License-Identifier: Apache-2.0
// All caption metrics of a set of images, and of any part of it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "evaluate/bleu.h"
#include "evaluate/cider.h"
#include "evaluate/meteor.h"
#include "evaluate/tokenized.h"

namespace fastvlm {

// In the order in which tables show them.
enum class Metric { kBleu1, kBleu2, kBleu3, kBleu4, kMeteor, kRougeL, kCider };
inline constexpr size_t kMetricCount = 7;
inline constexpr std::array<Metric, kMetricCount> kAllMetrics = {
    Metric::kBleu1,  Metric::kBleu2,  Metric::kBleu3, Metric::kBleu4,
    Metric::kMeteor, Metric::kRougeL, Metric::kCider};

std::string_view metric_name(Metric metric);  // "Bleu_1" … "CIDEr", as coco-caption writes them

// A value a metric; nothing for one that was not asked for.
using MetricValues = std::array<std::optional<double>, kMetricCount>;

struct MetricChoice {
  bool bleu = true;
  bool meteor = true;
  bool rouge = true;
  bool cider = true;
};
// "bleu,rouge,cider,meteor" or "all"; names in any case.
Result<MetricChoice> parse_metrics(const std::string& names);

class Scores {
 public:
  // `frequencies` null: those of the images' own references.
  Scores(std::span<const TokenizedImage> images, const MetricChoice& choice,
         const MeteorModules& modules, const DocumentFrequencies* frequencies);

  size_t size() const { return images_.size(); }
  const MetricValues& image(size_t i) const { return images_[i]; }
  // The corpus scores of the images named, each as often as it comes: BLEU and METEOR from added
  // counts, the others as means. CIDEr keeps the document frequencies of the whole set.
  MetricValues corpus(std::span<const uint32_t> members) const;
  MetricValues corpus() const;  // of all images
  const std::vector<std::string_view>& meteor_modules() const { return meteor_modules_; }

 private:
  MetricChoice choice_;
  std::vector<MetricValues> images_;
  std::vector<BleuCounts> bleu_;
  std::vector<MeteorStatistics> meteor_;
  std::vector<std::string_view> meteor_modules_;
};

}  // namespace fastvlm
