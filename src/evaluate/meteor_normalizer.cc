// SPDX-License-Identifier: Apache-2.0
// Passes over the text, one after the other, each from left to right without looking back at what
// it has used: the order and that habit are part of the behaviour (I'd've -> i 'd've).
#include "evaluate/meteor_normalizer.h"

#include <algorithm>
#include <array>

#include "text/characters.h"

namespace fastvlm {
namespace {

using Text = std::u32string;

// Latin letters: other scripts are signs to the normaliser, and every sign is a word.
bool is_latin(char32_t point) {
  return is_ascii_letter(point) || (point >= 0xC0 && point <= 0x24F);
}
bool is_latin_or_digit(char32_t point) {
  return is_latin(point) || is_ascii_digit(point);
}
bool is_white(char32_t point) {
  return (is_blank(point) && point != 0xFEFF) || is_line_end(point);
}
bool not_digit(char32_t point) {
  return !is_ascii_digit(point);
}
bool not_latin(char32_t point) {
  return !is_latin(point);
}
bool not_latin_or_digit(char32_t point) {
  return !is_latin_or_digit(point);
}
bool is_s(char32_t point) {
  return point == 's';
}

void replace_all(Text& text, std::u32string_view from, std::u32string_view to) {
  for (size_t at = text.find(from); at != Text::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

// Typographic quotation marks and dashes to plain ones.
void plain_marks(Text& text) {
  replace_all(text, U"``", U"\"");
  replace_all(text, U"''", U"\"");
  for (char32_t& point : text) {
    if (point == 0x201C || point == 0x201D) point = U'"';
    if (point == 0x2018 || point == 0x2019 || point == U'`') point = U'\'';
    if (point == 0xA0) point = U' ';
  }
  replace_all(text, U"\u2013", U" - ");
  replace_all(text, U"--", U"-");
}

// Space around every sign but . ' , -
void part_signs(Text& text) {
  Text parted;
  parted.reserve(text.size() * 2);
  for (const char32_t point : text) {
    const bool stays = is_latin_or_digit(point) || is_white(point) || point == '.' ||
                       point == '\'' || point == ',' || point == '-';
    if (stays) {
      parted += point;
    } else {
      parted += {U' ', point, U' '};
    }
  }
  text = std::move(parted);
}

// Space around two dots and more.
void part_dots(Text& text) {
  Text parted;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    while (end < text.size() && text[end] == '.') ++end;
    if (end - at >= 2) {
      parted += U' ';
      parted.append(text, at, end - at);
      parted += U' ';
      at = end;
    } else {
      parted += text[at++];
    }
  }
  text = std::move(parted);
}

using Kind = bool (*)(char32_t);

// A `sign` between a `before` and an `after` character is written as `written`.
struct Between {
  char32_t sign;
  Kind before;
  Kind after;
  std::u32string_view written;
};

void rewrite_between(Text& text, const Between& rule) {
  Text rewritten;
  rewritten.reserve(text.size() + 8);
  size_t at = 0;
  while (at < text.size()) {
    const bool applies = at + 2 < text.size() && text[at + 1] == rule.sign &&
                         rule.before(text[at]) && rule.after(text[at + 2]);
    rewritten += text[at];
    if (applies) {
      rewritten += rule.written;
      rewritten += text[at + 2];
      at += 3;
    } else {
      ++at;
    }
  }
  text = std::move(rewritten);
}

void part_commas_apostrophes_hyphens(Text& text) {
  static constexpr std::array<Between, 9> kRules = {{
      {U',', not_digit, not_digit, U" , "},
      {U',', is_ascii_digit, not_digit, U" , "},
      {U',', not_digit, is_ascii_digit, U" , "},
      {U'\'', not_latin, not_latin, U" ' "},
      {U'\'', not_latin_or_digit, is_latin, U" ' "},
      {U'\'', is_latin, not_latin, U" ' "},
      {U'\'', is_latin, is_latin, U" '"},
      {U'\'', is_ascii_digit, is_s, U" '"},
      {U'-', is_latin_or_digit, is_latin_or_digit, U" "},
  }};
  for (const Between& rule : kRules) rewrite_between(text, rule);
}

std::vector<Text> split_white(const Text& text) {
  std::vector<Text> words;
  for (auto at = text.begin(); at != text.end();) {
    at = std::find_if_not(at, text.end(), is_white);
    const auto end = std::find_if(at, text.end(), is_white);
    if (at != end) words.emplace_back(at, end);
    at = end;
  }
  return words;
}

// Words that keep their full stop wherever they stand: initials, titles, v., e.g.
bool keeps_stop(const Text& word) {
  static constexpr std::u32string_view kPrefixes[] = {
      U"Adj",  U"Adm",   U"Adv", U"Asst", U"Bart", U"Bldg", U"Brig",   U"Bros", U"Capt", U"Cmdr",
      U"Col",  U"Comdr", U"Con", U"Corp", U"Cpl",  U"DR",   U"Dr",     U"Drs",  U"Ens",  U"Gen",
      U"Gov",  U"Hon",   U"Hr",  U"Hosp", U"Insp", U"Lt",   U"MM",     U"MR",   U"MRS",  U"MS",
      U"Maj",  U"Mlle",  U"Mme", U"Mr",   U"Mrs",  U"Ms",   U"Messrs", U"Msgr", U"Op",   U"Ord",
      U"Pfc",  U"Ph",    U"Pvt", U"Prof", U"Rep",  U"Reps", U"Res",    U"Rev",  U"Rt",   U"Sen",
      U"Sens", U"Sfc",   U"Sgt", U"Sr",   U"St",   U"Supt", U"Surg",   U"v",    U"vs",   U"i.e",
      U"rev",  U"e.g",   U"Nos", U"Nr"};
  if (word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z') return true;
  return std::find(std::begin(kPrefixes), std::end(kPrefixes), word) != std::end(kPrefixes);
}

// No. 5, Art. 5, pp. 5: they keep it before a number.
bool keeps_stop_before_number(const Text& word) {
  return word == U"No" || word == U"Art" || word == U"pp";
}

// `word` ends with a full stop; `next` is the word behind it, empty at the end.
void end_word(Text word, const Text& next, std::vector<Text>& words) {
  const Text bare = word.substr(0, word.size() - 1);
  if (bare.find(U'.') != Text::npos && std::any_of(bare.begin(), bare.end(), is_latin)) {
    std::erase(word, U'.');
    words.push_back(word);
    return;
  }
  const bool before_small = !next.empty() && is_lower_case(next[0]);
  const bool before_number = !next.empty() && is_ascii_digit(next[0]);
  if (keeps_stop(bare) || before_small || (before_number && keeps_stop_before_number(bare))) {
    words.push_back(word);
    return;
  }
  words.push_back(bare);
  words.emplace_back(U".");
}

std::vector<Text> with_stops_parted(const std::vector<Text>& words) {
  std::vector<Text> parted;
  for (size_t i = 0; i < words.size(); ++i) {
    const Text& word = words[i];
    const bool ends_with_stop = word.size() > 1 && word.back() == '.' && !word.starts_with(U"..");
    if (ends_with_stop) {
      end_word(word, i + 1 < words.size() ? words[i + 1] : Text(), parted);
    } else {
      parted.push_back(word);
    }
  }
  return parted;
}

}  // namespace

std::vector<std::string> meteor_words(std::string_view tokens) {
  Text text = code_points(tokens);
  plain_marks(text);
  text.insert(0, 1, U' ');
  text += U' ';
  part_signs(text);
  part_dots(text);
  part_commas_apostrophes_hyphens(text);
  std::vector<std::string> words;
  for (const Text& word : with_stops_parted(split_white(text))) {
    words.push_back(to_utf8(lower_case(word)));
  }
  return words;
}

}  // namespace fastvlm
