// SPDX-License-Identifier: Apache-2.0
// The synonyms of METEOR's third module, from the files of Debian's package wordnet-base. Goals:
// the very synonym sets of METEOR 1.5. Non-goals: parts of speech, glosses, relations: METEOR uses
// none.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace fastvlm {

inline constexpr std::string_view kWordnetFolder = "/usr/share/wordnet";

class Wordnet {
 public:
  // Reads index.noun, .verb, .adj, .adv and the *.exc lists of irregular forms in `folder`.
  static Result<Wordnet> load(const std::filesystem::path& folder);

  // The numbers of the sets that `word` (lower case, _ for a space inside) belongs to, or any of
  // its base forms, in rising order. A number is a set's place in WordNet 3.0's files without the
  // part of speech, so that a few numbers stand for two sets, as in METEOR.
  std::vector<int32_t> synonym_sets(const std::string& word) const;

  size_t words() const { return sets_.size(); }
  size_t senses() const;
  size_t irregular_forms() const { return base_forms_.size(); }

 private:
  std::vector<std::string> base_forms_of(const std::string& word) const;

  std::unordered_map<std::string, std::vector<int32_t>> sets_;            // rising order
  std::unordered_map<std::string, std::vector<std::string>> base_forms_;  // of irregular forms
};

}  // namespace fastvlm
