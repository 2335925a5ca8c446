// SPDX-License-Identifier: Apache-2.0
#include "evaluate/rouge.h"

#include <algorithm>

#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr double kRougeBeta = 1.2;

size_t longest_common_subsequence(const std::vector<std::string>& a,
                                  const std::vector<std::string>& b) {
  std::vector<size_t> lengths(b.size() + 1, 0);
  for (const std::string& word : a) {
    size_t diagonal = 0;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t above = lengths[j];
      lengths[j] = word == b[j - 1] ? diagonal + 1 : std::max(above, lengths[j - 1]);
      diagonal = above;
    }
  }
  return lengths.back();
}

double score(const TokenizedImage& image) {
  const std::vector<std::string> candidate = split(image.candidate, ' ');
  double precision = 0;
  double recall = 0;
  for (const std::string& text : image.references) {
    const std::vector<std::string> reference = split(text, ' ');
    const auto common = static_cast<double>(longest_common_subsequence(reference, candidate));
    precision = std::max(precision, common / static_cast<double>(candidate.size()));
    recall = std::max(recall, common / static_cast<double>(reference.size()));
  }
  if (precision == 0 || recall == 0) return 0;
  constexpr double kBetaSquared = kRougeBeta * kRougeBeta;
  return ((1 + kBetaSquared) * precision * recall) / (recall + kBetaSquared * precision);
}

}  // namespace

std::vector<double> rouge_l(std::span<const TokenizedImage> images) {
  std::vector<double> scores;
  scores.reserve(images.size());
  for (const TokenizedImage& image : images) scores.push_back(score(image));
  return scores;
}

}  // namespace fastvlm
