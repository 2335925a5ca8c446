// SPDX-License-Identifier: Apache-2.0
#include "caption/value_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "base/strings.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

// Of one whole character of UTF-8.
uint32_t code_point(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0);
  uint32_t code = byte(0) & (0xFFU >> (character.size() + 1));
  for (size_t i = 1; i < character.size(); ++i) code = code << 6 | (byte(i) & 0x3FU);
  return code;
}

// Blanks and punctuation outside ASCII, joiners and variation selectors, U+FFFD.
bool says_nothing(uint32_t code) {
  constexpr std::array<std::pair<uint32_t, uint32_t>, 6> kRanges = {{{0x80, 0xBF},
                                                                     {0x2000, 0x206F},
                                                                     {0x3000, 0x303F},
                                                                     {0xE000, 0xF8FF},
                                                                     {0xFE00, 0xFF0F},
                                                                     {0xFFF0, 0xFFFF}}};
  return std::any_of(kRanges.begin(), kRanges.end(), [code](const auto& range) {
    return code >= range.first && code <= range.second;
  });
}

bool is_white_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

bool ends_with_whole_character(std::string_view text) {
  size_t start = text.size();
  for (size_t back = 0; back < 4 && start > 0; ++back) {
    --start;
    const auto byte = static_cast<unsigned char>(text[start]);
    if ((byte & 0xC0) != 0x80) break;  // not a continuation
  }
  const Utf8Front front = utf8_front(text.substr(start));
  return front.kind == Utf8Front::Kind::kCharacter && start + front.length == text.size();
}

}  // namespace

bool has_word(std::string_view text) {
  while (!text.empty()) {
    const Utf8Front front = utf8_front(text);
    const std::string_view character = text.substr(0, front.length);
    text.remove_prefix(front.length);
    if (front.kind != Utf8Front::Kind::kCharacter) continue;
    const uint32_t code = code_point(character);
    if (code < 0x80 ? std::isalnum(static_cast<int>(code)) != 0 : !says_nothing(code)) return true;
  }
  return false;
}

bool ends_sentence(std::string_view text) {
  text = trimmed(text);
  for (bool closed = true; closed;) {
    closed = false;
    for (const std::string_view mark : {"\"", "'", ")", "]", "*", "_", "”", "’", "»"}) {
      if (!text.ends_with(mark)) continue;
      text.remove_suffix(mark.size());
      closed = true;
    }
  }
  for (const std::string_view end : {".", "!", "?", "…", "。", "！", "？"}) {
    if (text.ends_with(end)) return true;
  }
  return false;
}

size_t clean_length(std::span<const std::string_view> pieces) {
  std::string text;
  size_t whole = 0, words = 0, sentences = 0;  // the longest ends of each kind
  bool word = false;
  for (size_t kept = 1; kept <= pieces.size(); ++kept) {
    text += pieces[kept - 1];
    word = word || has_word(text);
    if (!word || !ends_with_whole_character(text)) continue;
    whole = kept;
    const bool last = kept == pieces.size();
    const bool word_ends = !last && !pieces[kept].empty() && is_white_space(pieces[kept].front());
    if (word_ends) words = kept;
    if (text.back() == '\n' || (ends_sentence(text) && (last || word_ends))) sentences = kept;
  }
  for (const size_t kept : {sentences, words, whole}) {
    if (kept > 0) return kept;
  }
  return pieces.size();
}

}  // namespace fastvlm
