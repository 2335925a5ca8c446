// SPDX-License-Identifier: Apache-2.0
// N-grams of one to four words, numbered, so that captions are compared by numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace fastvlm {

inline constexpr size_t kNgramSizes = 4;

using NgramId = uint32_t;

struct NgramCount {
  NgramId ngram;
  int count;
};

// The n-grams of a caption by their size; of each size in rising order of their numbers.
struct NgramCounts {
  size_t words = 0;
  std::array<std::vector<NgramCount>, kNgramSizes> of_size;

  size_t total(size_t size) const { return words >= size ? words - size + 1 : 0; }
};

class NgramIndex {
 public:
  NgramCounts count(std::string_view tokens);  // numbers n-grams that it has not met before
  size_t size() const { return texts_.size(); }
  // Its words with a space between them.
  const std::string& text(NgramId ngram) const { return texts_[ngram]; }

 private:
  NgramId number_of(const std::string& text);

  std::unordered_map<std::string, NgramId> numbers_;
  std::vector<std::string> texts_;
};

}  // namespace fastvlm
