// SPDX-License-Identifier: Apache-2.0
#include "evaluate/corpus_scores.h"

#include <numeric>

#include "base/strings.h"
#include "evaluate/rouge.h"
#include "text/characters.h"

namespace fastvlm {
namespace {

size_t index_of(Metric metric) {
  return static_cast<size_t>(metric);
}

}  // namespace

std::string_view metric_name(Metric metric) {
  static constexpr std::array<std::string_view, kMetricCount> kNames = {
      "Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr"};
  return kNames[index_of(metric)];
}

Result<MetricChoice> parse_metrics(const std::string& names) {
  MetricChoice choice{false, false, false, false};
  for (const std::string& part : split(names, ',')) {
    const std::string name = lower_case(trimmed(part));
    if (name == "all") {
      choice = {};
    } else if (name == "bleu") {
      choice.bleu = true;
    } else if (name == "meteor") {
      choice.meteor = true;
    } else if (name == "rouge" || name == "rouge_l") {
      choice.rouge = true;
    } else if (name == "cider") {
      choice.cider = true;
    } else {
      return error(Code::kUsage, cat("--metrics: unknown metric ", part),
                   "choose among bleu, meteor, rouge, cider, or all");
    }
  }
  return choice;
}

Scores::Scores(std::span<const TokenizedImage> images, const MetricChoice& choice,
               const MeteorModules& modules, const DocumentFrequencies* frequencies)
    : choice_(choice), images_(images.size()) {
  if (choice.bleu) {
    bleu_ = bleu_counts(images);
    for (size_t i = 0; i < images.size(); ++i) {
      const Bleu values = bleu_score(bleu_[i]);
      std::copy(values.begin(), values.end(), images_[i].begin());
    }
  }
  if (choice.rouge) {
    const std::vector<double> values = rouge_l(images);
    for (size_t i = 0; i < images.size(); ++i) images_[i][index_of(Metric::kRougeL)] = values[i];
  }
  if (choice.cider) {
    const std::vector<double> values = frequencies != nullptr
                                           ? fastvlm::cider(images, *frequencies)
                                           : fastvlm::cider(images, document_frequencies(images));
    for (size_t i = 0; i < images.size(); ++i) images_[i][index_of(Metric::kCider)] = values[i];
  }
  if (choice.meteor) {
    MeteorScores scores = fastvlm::meteor(images, modules);
    for (size_t i = 0; i < images.size(); ++i) {
      images_[i][index_of(Metric::kMeteor)] = scores.images[i];
    }
    meteor_ = std::move(scores.statistics);
    meteor_modules_ = modules.names();
  }
}

MetricValues Scores::corpus(std::span<const uint32_t> members) const {
  MetricValues values;
  if (members.empty()) return values;
  BleuCounts bleu_total;
  MeteorStatistics meteor_total;
  double rouge_total = 0;
  double cider_total = 0;
  for (const uint32_t i : members) {
    if (choice_.bleu) bleu_total.add(bleu_[i]);
    if (choice_.meteor) meteor_total.add(meteor_[i]);
    if (choice_.rouge) rouge_total += *images_[i][index_of(Metric::kRougeL)];
    if (choice_.cider) cider_total += *images_[i][index_of(Metric::kCider)];
  }
  const auto count = static_cast<double>(members.size());
  if (choice_.bleu) {
    const Bleu scores = bleu_score(bleu_total);
    std::copy(scores.begin(), scores.end(), values.begin());
  }
  if (choice_.meteor) values[index_of(Metric::kMeteor)] = meteor_score(meteor_total);
  if (choice_.rouge) values[index_of(Metric::kRougeL)] = rouge_total / count;
  if (choice_.cider) values[index_of(Metric::kCider)] = cider_total / count;
  return values;
}

MetricValues Scores::corpus() const {
  std::vector<uint32_t> all(images_.size());
  std::iota(all.begin(), all.end(), 0U);
  return corpus(all);
}

}  // namespace fastvlm
