// SPDX-License-Identifier: Apache-2.0
#include "text/characters.h"

#include <utf8proc.h>

#include "text/unicode.h"

namespace fastvlm {
namespace {

constexpr char32_t kReplacement = 0xFFFD;
constexpr char32_t kCapitalSigma = 0x03A3;
constexpr char32_t kSmallSigma = 0x03C3;
constexpr char32_t kFinalSigma = 0x03C2;
constexpr char32_t kCapitalDottedI = 0x0130;

utf8proc_category_t category(char32_t point) {
  if (point > 0x10FFFF) return UTF8PROC_CATEGORY_CN;
  return utf8proc_category(static_cast<utf8proc_int32_t>(point));
}

// The code point of a whole, valid character.
char32_t decoded(std::string_view character) {
  utf8proc_int32_t point = 0;
  utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(character.data()),
                   static_cast<utf8proc_ssize_t>(character.size()), &point);
  return static_cast<char32_t>(point);
}

// Whether the sigma at `at` ends a word: a letter before it and none after it.
bool ends_word(std::u32string_view text, size_t at) {
  const bool before = at > 0 && is_letter(text[at - 1]);
  const bool after = at + 1 < text.size() && is_letter(text[at + 1]);
  return before && !after;
}

}  // namespace

std::u32string code_points(std::string_view utf8) {
  std::u32string points;
  points.reserve(utf8.size());
  while (!utf8.empty()) {
    const Utf8Front front = utf8_front(utf8);
    const bool whole = front.kind == Utf8Front::Kind::kCharacter;
    points.push_back(whole ? decoded(utf8.substr(0, front.length)) : kReplacement);
    utf8.remove_prefix(front.length);
  }
  return points;
}

std::string to_utf8(std::u32string_view points) {
  std::string text;
  text.reserve(points.size());
  for (const char32_t point : points) append_utf8(point, text);
  return text;
}

bool is_letter(char32_t point) {
  if (point < 0x80) return is_ascii_letter(point);
  switch (category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
      return true;
    default:
      return false;
  }
}

bool is_digit(char32_t point) {
  if (point < 0x80) return is_ascii_digit(point);
  return category(point) == UTF8PROC_CATEGORY_ND;
}

bool is_upper_case(char32_t point) {
  if (point < 0x80) return point >= 'A' && point <= 'Z';
  return category(point) == UTF8PROC_CATEGORY_LU;
}

bool is_lower_case(char32_t point) {
  if (point < 0x80) return point >= 'a' && point <= 'z';
  return category(point) == UTF8PROC_CATEGORY_LL;
}

bool is_blank(char32_t point) {
  if (point < 0x80) return point == ' ' || point == '\t';
  return point == 0xFEFF || category(point) == UTF8PROC_CATEGORY_ZS;
}

bool is_line_end(char32_t point) {
  return (point >= '\n' && point <= '\r') || point == 0x85 || point == 0x2028 || point == 0x2029;
}

bool is_apostrophe(char32_t point) {
  return point == '\'' || point == 0x2019 || point == 0x92;
}

bool is_symbol(char32_t point) {
  constexpr std::u32string_view kKnownCurrencies = U"$\u00A2\u00A3\u00A4\u00A5\u20A0\u20AC";
  if (point > 0xFFFF) return false;
  switch (category(point)) {
    case UTF8PROC_CATEGORY_SC:
      return kKnownCurrencies.find(point) != std::u32string_view::npos;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_NO:
    case UTF8PROC_CATEGORY_NL:
      return true;
    case UTF8PROC_CATEGORY_SO:
      return point != kReplacement;
    default:
      return false;
  }
}

std::u32string lower_case(std::u32string_view text) {
  std::u32string lower;
  lower.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const char32_t point = text[i];
    if (point == kCapitalSigma) {
      lower.push_back(ends_word(text, i) ? kFinalSigma : kSmallSigma);
    } else if (point == kCapitalDottedI) {
      lower += U"i\u0307";
    } else {
      lower.push_back(
          static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point))));
    }
  }
  return lower;
}

}  // namespace fastvlm
