// SPDX-License-Identifier: Apache-2.0
// Cuts text into the pieces within which byte pairs may merge, by the regular expression of Qwen2.
// Non-goal: expressions from a file. All checkpoints of the family have this one, its time is known
// to be linear in the text, and no matcher of ours could bound the time of a stranger's.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/result.h"

struct pcre2_real_code_8;  // PCRE2's compiled expression

namespace fastvlm {

// As tokenizer files write it: contractions, words, single digits, punctuation, line ends, spaces.
constexpr std::string_view kQwen2SplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

class Splitter {
 public:
  static Result<Splitter> make();

  // The ends (byte offsets, ascending, none empty) of the pieces that `utf8` consists of. `utf8`
  // must be valid.
  Result<std::vector<uint32_t>> piece_ends(std::string_view utf8) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };

  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace fastvlm
