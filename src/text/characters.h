// SPDX-License-Identifier: Apache-2.0
// Characters as the caption metrics and the object names see them: code points, their classes, and
// lower case as Java writes it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fastvlm {

// The code points of `utf8`; what is not UTF-8 becomes U+FFFD.
std::u32string code_points(std::string_view utf8);
std::string to_utf8(std::u32string_view points);

bool is_letter(char32_t point);  // a letter, or a mark that belongs to one
bool is_digit(char32_t point);   // a decimal digit of any script
bool is_upper_case(char32_t point);
bool is_lower_case(char32_t point);
bool is_blank(char32_t point);  // space that ends no line: space, tab, no-break space, U+FEFF, …
bool is_line_end(char32_t point);
bool is_apostrophe(char32_t point);  // ', U+2019, and Windows-1252's 0x92
// A sign that stands for something in text; emoji, controls and unassigned code points do not.
bool is_symbol(char32_t point);

constexpr bool is_ascii_letter(char32_t point) {
  return (point >= 'a' && point <= 'z') || (point >= 'A' && point <= 'Z');
}
constexpr bool is_ascii_digit(char32_t point) {
  return point >= '0' && point <= '9';
}

// String.toLowerCase of Java: a sigma at the end of a word becomes its final form, and U+0130 two
// code points.
std::u32string lower_case(std::u32string_view text);

}  // namespace fastvlm
