// SPDX-License-Identifier: Apache-2.0
// METEOR's paraphrase table, which Debian does not carry and the user may have: text or gzip, three
// lines an entry (probability, phrase, paraphrase). METEOR uses no probability.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace fastvlm {

using Phrase = std::vector<std::string>;

class Paraphrases {
 public:
  static Result<Paraphrases> load(const std::filesystem::path& path);

  // What `words` (one or more) may be said as; empty when the table does not know them.
  const std::vector<Phrase>& of(std::span<const std::string> words) const;
  size_t longest_phrase() const { return longest_; }
  size_t entries() const { return entries_; }

 private:
  std::unordered_map<std::string, std::vector<Phrase>> table_;
  size_t longest_ = 0;
  size_t entries_ = 0;
};

}  // namespace fastvlm
