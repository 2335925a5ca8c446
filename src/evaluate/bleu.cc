// SPDX-License-Identifier: Apache-2.0
#include "evaluate/bleu.h"

#include <algorithm>
#include <cmath>

namespace fastvlm {
namespace {

constexpr double kSmall = 1e-9;
constexpr double kTiny = 1e-15;

// How often `ngram` comes at most in one of the references.
int most_in_references(const std::vector<NgramCounts>& references, size_t i, NgramId ngram) {
  int most = 0;
  for (const NgramCounts& reference : references) {
    const auto& counts = reference.of_size[i];
    const auto found = std::lower_bound(counts.begin(), counts.end(), ngram,
                                        [](const NgramCount& a, NgramId b) { return a.ngram < b; });
    if (found != counts.end() && found->ngram == ngram) most = std::max(most, found->count);
  }
  return most;
}

size_t closest_length(const std::vector<NgramCounts>& references, size_t length) {
  const auto distance = [length](size_t other) {
    return other > length ? other - length : length - other;
  };
  size_t closest = references.front().words;
  for (const NgramCounts& reference : references) {
    const size_t now = distance(reference.words);
    const size_t best = distance(closest);
    if (now < best || (now == best && reference.words < closest)) closest = reference.words;
  }
  return closest;
}

BleuCounts compare(const std::vector<NgramCounts>& references, const NgramCounts& candidate) {
  BleuCounts counts;
  counts.candidate_length = static_cast<double>(candidate.words);
  counts.reference_length = static_cast<double>(closest_length(references, candidate.words));
  for (size_t i = 0; i < kNgramSizes; ++i) {
    counts.guessed[i] = static_cast<double>(candidate.total(i + 1));
    for (const NgramCount& entry : candidate.of_size[i]) {
      counts.correct[i] += std::min(most_in_references(references, i, entry.ngram), entry.count);
    }
  }
  return counts;
}

}  // namespace

void BleuCounts::add(const BleuCounts& other) {
  candidate_length += other.candidate_length;
  reference_length += other.reference_length;
  for (size_t i = 0; i < kNgramSizes; ++i) {
    correct[i] += other.correct[i];
    guessed[i] += other.guessed[i];
  }
}

std::vector<BleuCounts> bleu_counts(std::span<const TokenizedImage> images) {
  NgramIndex index;
  std::vector<BleuCounts> all;
  all.reserve(images.size());
  for (const TokenizedImage& image : images) {
    std::vector<NgramCounts> references;
    for (const std::string& reference : image.references) {
      references.push_back(index.count(reference));
    }
    all.push_back(compare(references, index.count(image.candidate)));
  }
  return all;
}

Bleu bleu_score(const BleuCounts& counts) {
  Bleu scores;
  double product = 1;
  for (size_t i = 0; i < kNgramSizes; ++i) {
    product *= (counts.correct[i] + kTiny) / (counts.guessed[i] + kSmall);
    scores[i] = std::pow(product, 1.0 / static_cast<double>(i + 1));
  }
  const double ratio = (counts.candidate_length + kTiny) / (counts.reference_length + kSmall);
  if (ratio < 1) {
    for (double& value : scores) value *= std::exp(1 - 1 / ratio);
  }
  return scores;
}

}  // namespace fastvlm
