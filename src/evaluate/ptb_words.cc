// SPDX-License-Identifier: Apache-2.0
// Words: runs of letters and digits, joined by hyphens and slashes, and what English does to them
// with an apostrophe.
#include <array>

#include "evaluate/ptb_lexer.h"
#include "text/characters.h"

namespace fastvlm {
namespace {

bool is_word_character(char32_t point) {
  return is_letter(point) || is_digit(point);
}

// The end of the run of letters and digits that starts at `from`.
size_t run_end(Ahead ahead, size_t from) {
  while (is_word_character(ahead[from])) ++from;
  return from;
}

size_t letters_end(Ahead ahead, size_t from) {
  while (is_letter(ahead[from])) ++from;
  return from;
}

char32_t folded(char32_t point) {
  return point >= 'A' && point <= 'Z' ? point - 'A' + 'a' : point;
}

// Whether the stream goes on with `word`, in any case; ' in it stands for any apostrophe.
bool starts_with(Ahead ahead, std::u32string_view word) {
  for (size_t i = 0; i < word.size(); ++i) {
    const bool same =
        word[i] == '\'' ? is_apostrophe(ahead[i]) : folded(ahead[i]) == folded(word[i]);
    if (!same) return false;
  }
  return true;
}

// dog, ground.A, B2; a letter first.
Lexeme plain_word(Ahead ahead) {
  if (!is_letter(ahead[0])) return {};
  size_t end = run_end(ahead, 1);
  while (in(ahead[end], U".!?") && is_letter(ahead[end + 1])) end = run_end(ahead, end + 1);
  return lexeme(end);
}

// The end of U.S. or U.S at `from`; `from` when there is none.
size_t acronym_end(Ahead ahead, size_t from) {
  if (!is_ascii_letter(ahead[from])) return from;
  size_t end = from + 1;
  while (ahead[end] == '.' && is_ascii_letter(ahead[end + 1]) && !is_letter(ahead[end + 2])) {
    end += 2;
  }
  if (end == from + 1) return from;
  return ahead[end] == '.' ? end + 1 : end;
}

// two-year-old, 747-400, non-U.S., a_b
Lexeme hyphenated_word(Ahead ahead) {
  constexpr std::u32string_view kJoiners = U"-_\u2010\u2011";
  size_t end = run_end(ahead, 0);
  if (end == 0) return {};
  while (in(ahead[end], kJoiners)) {
    const size_t next = end + 1;
    const size_t acronym = acronym_end(ahead, next);
    const size_t run = acronym > next ? acronym : run_end(ahead, next);
    if (run == next) break;
    end = run;
  }
  return lexeme(end);
}

// A part between slashes: letters and digits, then at most two hyphens with letters.
size_t slash_part_end(Ahead ahead, size_t from) {
  size_t end = run_end(ahead, from);
  if (end == from) return from;
  for (int hyphens = 0; hyphens < 2 && ahead[end] == '-'; ++hyphens) {
    const size_t next = letters_end(ahead, end + 1);
    if (next == end + 1) break;
    end = next;
  }
  return end;
}

// he/she, a/b/c, 10/12/2015: at most two slashes.
Lexeme slashed_word(Ahead ahead) {
  size_t end = slash_part_end(ahead, 0);
  if (end == 0) return {};
  for (int slashes = 0; slashes < 2 && ahead[end] == '/'; ++slashes) {
    const size_t next = slash_part_end(ahead, end + 1);
    if (next == end + 1) break;
    end = next;
  }
  return lexeme(end);
}

// AT&T, R&B: capitals on both sides; the sign may be written as an entity.
Lexeme initials_with_ampersand(Ahead ahead) {
  constexpr std::u32string_view kEntity = U"&amp;";
  const auto is_capital = [](char32_t point) { return point >= 'A' && point <= 'Z'; };
  size_t end = 0;
  while (is_capital(ahead[end])) ++end;
  if (end == 0 || ahead[end] != '&') return {};
  const size_t sign = end;
  const bool entity = ahead.first(end + kEntity.size()).substr(end) == kEntity;
  end += entity ? kEntity.size() : 1;
  const size_t second = end;
  while (is_capital(ahead[end])) ++end;
  if (end == second) return {};
  Lexeme found = lexeme(end);
  if (entity) {
    found.written = ahead.first(sign);
    found.written += U'&';
    found.written += ahead.first(end).substr(second);
  }
  return found;
}

// C++, C#, F#
Lexeme programming_language(Ahead ahead) {
  if (in(ahead[0], U"cC") && ahead[1] == '+' && ahead[2] == '+') return lexeme(3);
  if (in(ahead[0], U"cCfF") && ahead[1] == '#') return lexeme(2);
  return {};
}

// do|n't: the word before the negation. n't itself is a token.
Lexeme negated_word(Ahead ahead) {
  const size_t end = letters_end(ahead, 0);
  if (end == 0 || folded(ahead[end - 1]) != 'n' || !is_apostrophe(ahead[end])) return {};
  if (folded(ahead[end + 1]) != 't' || is_ascii_letter(ahead[end + 2])) return {};
  if (end > 1) return lexeme(end - 1, end + 2);
  Lexeme negation = lexeme(3);
  negation.written = {ahead[0], U'\'', ahead[2]};
  return negation;
}

struct Split {
  std::u32string_view word;
  size_t first;  // characters of its first part
};

// can|not, gon|na: written as one word, two tokens.
Lexeme joined_words(Ahead ahead) {
  static constexpr std::array<Split, 6> kJoined = {
      {{U"cannot", 3}, {U"gonna", 3}, {U"gotta", 3}, {U"lemme", 3}, {U"gimme", 3}, {U"wanna", 3}}};
  static constexpr std::array<Split, 2> kWithApostrophe = {{{U"'tis", 2}, {U"'twas", 2}}};
  for (const Split& split : kJoined) {
    const size_t size = split.word.size();
    if (starts_with(ahead, split.word) && !is_word_character(ahead[size])) {
      return lexeme(split.first, size);
    }
  }
  for (const Split& split : kWithApostrophe) {
    const size_t size = split.word.size();
    if (ahead[0] == '\'' && starts_with(ahead, split.word) && !is_word_character(ahead[size])) {
      return lexeme(split.first, size);
    }
  }
  return {};
}

// Words whose apostrophe stands for what is left out: they stay whole.
Lexeme clipped_word(Ahead ahead) {
  static constexpr std::u32string_view kClipped[] = {
      U"'n",      U"'em",     U"'til",      U"'till",      U"'cause", U"ol'",    U"c'mon",
      U"cap'n",   U"e'er",    U"ev'ry",     U"li'l",       U"nat'l",  U"cont'd", U"cont'd.",
      U"s'mores", U"dunkin'", U"somethin'", U"nor'easter", U"o'clock"};
  constexpr std::u32string_view kAnd = U"'n'";  // rock'n'roll: a word may follow at once
  if (starts_with(ahead, kAnd)) return lexeme(kAnd.size());
  Lexeme best;
  for (const std::u32string_view word : kClipped) {
    if (starts_with(ahead, word) && !is_word_character(ahead[word.size()])) {
      best = longer(best, lexeme(word.size()));
    }
  }
  return best;
}

// O'Brien, l'oreal, d'angelo; Hallowe'en: vowels on both sides.
Lexeme name_with_apostrophe(Ahead ahead) {
  const char32_t initial = ahead[0];
  const bool prefix = in(initial, U"dDlLjJ") ||
                      (initial >= 'A' && initial <= 'Z' && initial != 'I' && initial != 'Y');
  if (prefix && is_apostrophe(ahead[1])) {
    const size_t end = letters_end(ahead, 2);
    if (end >= 4) return lexeme(end);
  }
  const size_t stem = letters_end(ahead, 0);
  if (stem < 2 || !is_apostrophe(ahead[stem])) return {};
  if (!in(ahead[stem - 1], U"aeiouyAEIOUY") || !in(ahead[stem + 1], U"aeiou")) return {};
  return lexeme(letters_end(ahead, stem + 1));
}

// y'|all
Lexeme clipped_you(Ahead ahead) {
  const bool applies = in(ahead[0], U"yY") && is_apostrophe(ahead[1]) && is_letter(ahead[2]);
  return applies ? lexeme(2, 3) : Lexeme{};
}

// 's 'm 'd; 're 've 'll, which ask for a character behind them, so that they are none at the end of
// the stream.
Lexeme clitic(Ahead ahead) {
  if (!is_apostrophe(ahead[0])) return {};
  size_t length = 0;
  if (in(folded(ahead[1]), U"smd") && !is_ascii_letter(ahead[2])) length = 2;
  for (const std::u32string_view ending : {U"'re", U"'ve", U"'ll"}) {
    if (starts_with(ahead, ending) && !is_ascii_letter(ahead[3]) && ahead[3] != kEndOfText) {
      length = 3;
    }
  }
  if (length == 0) return {};
  Lexeme found = lexeme(length, length + 1);
  found.written = U"'";
  found.written += ahead.first(length).substr(1);
  return found;
}

// '07 before white space, '90s
Lexeme short_year(Ahead ahead) {
  if (!is_apostrophe(ahead[0]) || !is_ascii_digit(ahead[1]) || !is_ascii_digit(ahead[2])) return {};
  if (ahead[2] == '0' && ahead[3] == 's') return lexeme(4);
  if (is_blank(ahead[3]) || is_line_end(ahead[3])) return lexeme(3, 4);
  return {};
}

}  // namespace

Lexeme match_word(Ahead ahead) {
  Lexeme best;
  for (const auto rule : {clipped_word, joined_words, negated_word, clitic, short_year, clipped_you,
                          name_with_apostrophe, plain_word, hyphenated_word, slashed_word,
                          initials_with_ampersand, programming_language}) {
    best = longer(best, rule(ahead));
  }
  return best;
}

}  // namespace fastvlm
