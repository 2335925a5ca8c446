// SPDX-License-Identifier: Apache-2.0
// Signs: quotation marks, brackets, dashes, dots, smileys, and single characters.
#include "evaluate/ptb_lexer.h"
#include "text/characters.h"

namespace fastvlm {
namespace {

Lexeme written_as(size_t length, std::u32string_view written, size_t reach = 0) {
  return {length, std::max(length, reach), std::u32string(written)};
}

struct Spelling {
  std::u32string_view sign;
  std::u32string_view written;
};

// Penn Treebank knows ASCII only: what it writes for brackets, foreign quotation marks, currencies,
// fractions and HTML entities.
constexpr Spelling kSpellings[] = {
    {U"(", U"-lrb-"},      {U")", U"-rrb-"},    {U"[", U"-lsb-"},    {U"]", U"-rsb-"},
    {U"{", U"-lcb-"},      {U"}", U"-rcb-"},    {U"\u201C", U"``"},  {U"\u201D", U"''"},
    {U"\u201E", U"``"},    {U"\u00AB", U"``"},  {U"\u00BB", U"''"},  {U"\u0093", U"``"},
    {U"\u0094", U"''"},    {U"\u2018", U"`"},   {U"\u2019", U"'"},   {U"\u0091", U"`"},
    {U"\u0092", U"'"},     {U"\u2039", U"`"},   {U"\u203A", U"'"},   {U"\u2026", U"..."},
    {U"\u00A2", U"cents"}, {U"\u00A3", U"#"},   {U"\u00A4", U"$"},   {U"\u20A0", U"$"},
    {U"\u20AC", U"$"},     {U"\u00BC", U"1/4"}, {U"\u00BD", U"1/2"}, {U"\u00BE", U"3/4"},
    {U"\u2153", U"1/3"},   {U"\u2154", U"2/3"}, {U"&amp;", U"&"},    {U"&lt;", U"<"},
    {U"&gt;", U">"},       {U"&apos;", U"'"},   {U"&mdash;", U"--"}, {U"&ndash;", U"--"},
    {U"\u2013", U"--"},    {U"\u2014", U"--"},  {U"\u2015", U"--"},  {U"\u0096", U"--"},
    {U"\u0097", U"--"}};

Lexeme spelled_sign(Ahead ahead) {
  for (const Spelling& spelling : kSpellings) {
    if (ahead.first(spelling.sign.size()) == spelling.sign) {
      return written_as(spelling.sign.size(), spelling.written);
    }
  }
  return {};
}

// it&apos;s: a clitic behind an apostrophe written as an entity.
Lexeme entity_clitic(Ahead ahead) {
  constexpr std::u32string_view kEntity = U"&apos;";
  const size_t next = kEntity.size();
  if (ahead.first(next) != kEntity || !in(ahead[next], U"smdSMD")) return {};
  if (is_ascii_letter(ahead[next + 1])) return {};
  return written_as(next + 1, std::u32string{U'\'', ahead[next]});
}

// " opens before a letter, a digit or a dollar, and closes everywhere else.
Lexeme double_quote(Ahead ahead) {
  constexpr std::u32string_view kEntity = U"&quot;";
  const bool entity = ahead.first(kEntity.size()) == kEntity;
  if (!entity && ahead[0] != '"') return {};
  const size_t length = entity ? kEntity.size() : 1;
  const char32_t next = ahead[length];
  const bool opens = is_ascii_letter(next) || is_ascii_digit(next) || next == '$';
  return opens ? written_as(length, U"``", length + 1) : written_as(length, U"''");
}

// ' opens before a letter and one more character; pairs of them, and of `, are one mark.
Lexeme single_quote(Ahead ahead) {
  if (in(ahead[0], U"'`") && ahead[1] == ahead[0]) return lexeme(2);
  if (ahead[0] != '\'' || !is_ascii_letter(ahead[1])) return {};
  const char32_t second = ahead[2];
  if (second == kEndOfText || is_blank(second) || is_line_end(second)) return {};
  return written_as(1, U"`", 3);
}

size_t run_of(Ahead ahead, char32_t point) {
  size_t count = 0;
  while (ahead[count] == point) ++count;
  return count;
}

// -- is a dash however many hyphens (up to four) it is drawn with; longer lines stay as they are.
Lexeme dashes(Ahead ahead) {
  const size_t count = run_of(ahead, U'-');
  if (count < 2) return {};
  return count > 4 ? lexeme(count) : written_as(count, U"--");
}

// ... of three to five dots, or three to five with spaces between them.
Lexeme ellipsis(Ahead ahead) {
  constexpr size_t kMost = 5;
  const size_t dots = std::min(run_of(ahead, U'.'), kMost);
  if (dots >= 3) return written_as(dots, U"...");
  size_t spaced = 1;
  while (spaced < kMost && ahead[2 * spaced - 2] == '.' &&
         (ahead[2 * spaced - 1] == ' ' || ahead[2 * spaced - 1] == 0xA0) &&
         ahead[2 * spaced] == '.') {
    ++spaced;
  }
  return spaced >= 3 ? written_as(2 * spaced - 1, U"...") : Lexeme{};
}

// !?, ***, ___: several of them are one token; << and >> too.
Lexeme run_of_signs(Ahead ahead) {
  size_t end = 0;
  while (in(ahead[end], U"!?")) ++end;
  if (end > 0) return lexeme(end);
  for (const char32_t sign : {U'*', U'_'}) {
    const size_t count = run_of(ahead, sign);
    if (count >= 2) return lexeme(count);
  }
  if (in(ahead[0], U"<>") && ahead[1] == ahead[0]) return lexeme(2);
  return {};
}

std::u32string with_brackets_named(std::u32string_view text) {
  std::u32string written;
  for (const char32_t point : text) {
    if (point == '(') {
      written += U"-lrb-";
    } else if (point == ')') {
      written += U"-rrb-";
    } else {
      written += point;
    }
  }
  return written;
}

// :-) and its kin, before a character that is no letter; not at the end of the stream.
Lexeme smiley(Ahead ahead) {
  size_t at = in(ahead[0], U"<>") ? 1 : 0;
  if (!in(ahead[at++], U":;=")) return {};
  if (in(ahead[at], U"-o*'")) ++at;
  if (!in(ahead[at++], U"()[]{DPdpO@|\\")) return {};
  if (is_ascii_letter(ahead[at]) || ahead[at] == kEndOfText) return {};
  return written_as(at, with_brackets_named(ahead.first(at)), at + 1);
}

// ^_^, -_-, (^_^)
Lexeme upright_smiley(Ahead ahead) {
  constexpr std::u32string_view kEyes = U"^-=~<>x'";
  const size_t at = ahead[0] == '(' ? 1 : 0;
  if (!in(ahead[at], kEyes) || ahead[at] == 'x' || ahead[at + 1] != '_') return {};
  if (ahead[at + 2] != ahead[at] || (at == 1 && ahead[4] != ')')) return {};
  const size_t length = at == 1 ? 5 : 3;
  return written_as(length, with_brackets_named(ahead.first(length)));
}

Lexeme single_sign(Ahead ahead) {
  return is_symbol(ahead[0]) ? lexeme(1) : Lexeme{};
}

}  // namespace

Lexeme match_sign(Ahead ahead) {
  Lexeme best;
  for (const auto rule : {upright_smiley, smiley, entity_clitic, double_quote, single_quote, dashes,
                          ellipsis, run_of_signs, spelled_sign, single_sign}) {
    best = longer(best, rule(ahead));
  }
  return best;
}

}  // namespace fastvlm
