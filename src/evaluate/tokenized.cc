// SPDX-License-Identifier: Apache-2.0
#include "evaluate/tokenized.h"

#include <algorithm>

#include "text/characters.h"

namespace fastvlm {
namespace {

bool is_white_space(char32_t point) {
  return (is_blank(point) && point != 0xFEFF) || is_line_end(point) ||
         (point >= 0x1C && point <= 0x1F);
}

}  // namespace

std::vector<std::string> words_of(std::string_view tokens) {
  std::vector<std::string> words;
  const std::u32string points = code_points(tokens);
  for (auto at = points.begin(); at != points.end();) {
    at = std::find_if_not(at, points.end(), is_white_space);
    const auto end = std::find_if(at, points.end(), is_white_space);
    if (at != end) words.push_back(to_utf8({&*at, static_cast<size_t>(end - at)}));
    at = end;
  }
  return words;
}

}  // namespace fastvlm
