// SPDX-License-Identifier: Apache-2.0
// Cuts text into the pieces within which byte pairs may merge, by the regular expression of the
// tokenizer. Goal: a hostile expression or text ends in an error, never in a hang.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct pcre2_real_code_8;  // PCRE2's compiled expression

namespace fastvlm {

// The expression of Qwen2: contractions, words, single digits, punctuation, line ends, spaces.
extern const std::string_view kQwen2SplitPattern;

class Splitter {
 public:
  // `field` names the expression in errors ("tokenizer.json: pre_tokenizer...").
  static Result<Splitter> compile(std::string_view pattern, const std::string& field);

  // The ends (byte offsets, ascending, none empty) of the pieces that `utf8` consists of; text
  // between two matches is a piece too. `utf8` must be valid.
  Result<std::vector<uint32_t>> piece_ends(std::string_view utf8) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };

  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace fastvlm
