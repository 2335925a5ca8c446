// SPDX-License-Identifier: Apache-2.0
// Where one token of Penn Treebank text ends and how it is written. Goals: the tokens that
// Stanford's PTBTokenizer 3.4.1 gives for captions, learnt from its behaviour on recorded strings
// (tests/goldens/metrics). Non-goals: its options, sentence splitting, languages but English.
//
// The longest lexeme at a place wins, counted with the text behind it that it asks for; of two
// equal ones the rule that is tried first.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace fastvlm {

inline constexpr char32_t kEndOfText = 0xFFFFFFFF;

// The stream from one place on; what lies past its end is kEndOfText.
class Ahead {
 public:
  Ahead(std::u32string_view text, size_t at) : rest_(text.substr(at)) {}
  char32_t operator[](size_t i) const { return i < rest_.size() ? rest_[i] : kEndOfText; }
  std::u32string_view first(size_t count) const { return rest_.substr(0, count); }
  size_t size() const { return rest_.size(); }

 private:
  std::u32string_view rest_;
};

// `length` characters are the token, `reach` of them had to be looked at (>= length); both are 0
// when a rule does not apply. `written` is how the token reads where it differs from its
// characters.
struct Lexeme {
  size_t length = 0;
  size_t reach = 0;
  std::u32string written = {};
};

inline Lexeme lexeme(size_t length) {
  return {length, length, {}};
}
inline Lexeme lexeme(size_t length, size_t reach) {
  return {length, reach, {}};
}

// The best lexeme of each family at the front of `ahead`.
Lexeme match_word(Ahead ahead);          // words, hyphens, slashes, contractions, their clitics
Lexeme match_abbreviation(Ahead ahead);  // titles, initials, acronyms, with their full stop
Lexeme match_number(Ahead ahead);        // numbers, fractions, telephone numbers
Lexeme match_address(Ahead ahead);       // web and mail addresses, @names, #tags, <markup>
Lexeme match_sign(Ahead ahead);          // quotation marks, dashes, dots, smileys, single signs

// The longer of two; `first` when they reach equally far.
inline Lexeme longer(const Lexeme& first, const Lexeme& second) {
  return second.reach > first.reach ? second : first;
}

// Whether a character is one of a set.
inline bool in(char32_t point, std::u32string_view set) {
  return set.find(point) != std::u32string_view::npos;
}

}  // namespace fastvlm
