// SPDX-License-Identifier: Apache-2.0
#include "evaluate/ngrams.h"

#include <algorithm>

#include "evaluate/tokenized.h"

namespace fastvlm {
namespace {

// Sorts `ngrams` and adds equal ones up.
std::vector<NgramCount> counted(std::vector<NgramId> ngrams) {
  std::sort(ngrams.begin(), ngrams.end());
  std::vector<NgramCount> counts;
  for (const NgramId ngram : ngrams) {
    if (counts.empty() || counts.back().ngram != ngram) counts.push_back({ngram, 0});
    ++counts.back().count;
  }
  return counts;
}

}  // namespace

NgramId NgramIndex::number_of(const std::string& text) {
  const auto [found, added] = numbers_.try_emplace(text, static_cast<NgramId>(texts_.size()));
  if (added) texts_.push_back(text);
  return found->second;
}

NgramCounts NgramIndex::count(std::string_view tokens) {
  const std::vector<std::string> words = words_of(tokens);
  std::array<std::vector<NgramId>, kNgramSizes> found;
  for (size_t first = 0; first < words.size(); ++first) {
    std::string text;
    for (size_t size = 1; size <= kNgramSizes && first + size <= words.size(); ++size) {
      if (size > 1) text += ' ';
      text += words[first + size - 1];
      found[size - 1].push_back(number_of(text));
    }
  }
  NgramCounts counts;
  counts.words = words.size();
  for (size_t i = 0; i < kNgramSizes; ++i) counts.of_size[i] = counted(std::move(found[i]));
  return counts;
}

}  // namespace fastvlm
