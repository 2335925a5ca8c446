// SPDX-License-Identifier: Apache-2.0
// What comes from the web: addresses, names and tags with a sign in front, markup.
#include <algorithm>

#include "evaluate/ptb_lexer.h"
#include "text/characters.h"

namespace fastvlm {
namespace {

bool is_address_character(char32_t point) {
  return point != kEndOfText && !is_blank(point) && !is_line_end(point) && !in(point, U"\"<>|()");
}

bool is_name_character(char32_t point) {
  return is_ascii_letter(point) || is_ascii_digit(point) || in(point, U"-_");
}

// The end of a run of address characters from `from` that closes with no punctuation.
size_t address_end(Ahead ahead, size_t from) {
  size_t end = from;
  while (is_address_character(ahead[end])) ++end;
  while (end > from && in(ahead[end - 1], U".,;:!?'`{}-")) --end;
  return end;
}

// http://example.com/a?b=c
Lexeme web_address(Ahead ahead) {
  for (const std::u32string_view scheme : {U"http://", U"https://", U"ftp://"}) {
    if (ahead.first(scheme.size()) != scheme) continue;
    const size_t end = address_end(ahead, scheme.size());
    if (end > scheme.size()) return lexeme(end);
  }
  return {};
}

bool is_top_level_domain(std::u32string_view name) {
  return name == U"com" || name == U"net" || name == U"org" || name == U"edu";
}

// example.com/path, without a scheme.
Lexeme bare_web_address(Ahead ahead) {
  size_t end = 0;
  size_t last_label = 0;
  while (is_name_character(ahead[end])) {
    last_label = end;
    while (is_name_character(ahead[end])) ++end;
    if (ahead[end] != '.' || !is_name_character(ahead[end + 1])) break;
    ++end;
  }
  if (last_label == 0 || !is_top_level_domain(ahead.first(end).substr(last_label))) return {};
  if (ahead[end] != '/') return lexeme(end);
  return lexeme(std::max(end, address_end(ahead, end)));
}

// user@example.com
Lexeme mail_address(Ahead ahead) {
  size_t at = 0;
  while (is_name_character(ahead[at]) || (ahead[at] == '.' && at > 0)) ++at;
  if (at == 0 || ahead[at] != '@') return {};
  size_t end = at + 1;
  while (is_name_character(ahead[end])) ++end;
  if (end == at + 1 || ahead[end] != '.' || !is_name_character(ahead[end + 1])) return {};
  while (ahead[end] == '.' && is_name_character(ahead[end + 1])) {
    ++end;
    while (is_name_character(ahead[end])) ++end;
  }
  return lexeme(end);
}

// @user, #tag
Lexeme marked_name(Ahead ahead) {
  if (!in(ahead[0], U"@#") || !(is_ascii_letter(ahead[1]) || ahead[1] == '_')) return {};
  size_t end = 2;
  while (is_ascii_letter(ahead[end]) || is_ascii_digit(ahead[end]) || ahead[end] == '_') ++end;
  return lexeme(end);
}

// <tag>, </tag>
Lexeme markup(Ahead ahead) {
  if (ahead[0] != '<') return {};
  size_t end = ahead[1] == '/' ? 2 : 1;
  if (!is_ascii_letter(ahead[end])) return {};
  while (ahead[end] != '>') {
    if (ahead[end] == kEndOfText || is_line_end(ahead[end]) || ahead[end] == '<') return {};
    ++end;
  }
  return lexeme(end + 1);
}

}  // namespace

Lexeme match_address(Ahead ahead) {
  Lexeme best;
  for (const auto rule : {web_address, bare_web_address, mail_address, marked_name, markup}) {
    best = longer(best, rule(ahead));
  }
  return best;
}

}  // namespace fastvlm
