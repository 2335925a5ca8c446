// SPDX-License-Identifier: Apache-2.0
// What the caption metrics compare: one candidate and its references per image, as tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fastvlm {

// Tokens with one space between them, as tokenize_captions returns them.
struct TokenizedImage {
  std::vector<std::string> references;  // at least one
  std::string candidate;
};

// The words between white space of any kind, as Python's str.split(): a telephone number, one token
// with no-break spaces in it, falls apart here.
std::vector<std::string> words_of(std::string_view tokens);

}  // namespace fastvlm
