// SPDX-License-Identifier: Apache-2.0
#include "evaluate/ptb_tokenizer.h"

#include <algorithm>
#include <string_view>

#include "base/strings.h"
#include "evaluate/ptb_lexer.h"
#include "text/characters.h"

namespace fastvlm {
namespace {

// The longest lexeme at the front. Abbreviations stand before words and numbers before addresses:
// of two that reach equally far the first wins.
Lexeme next_lexeme(Ahead ahead) {
  const char32_t front = ahead[0];
  const bool wordlike = is_letter(front) || is_digit(front) || is_apostrophe(front);
  Lexeme best = match_abbreviation(ahead);
  if (wordlike) best = longer(best, match_word(ahead));
  best = longer(best, match_number(ahead));
  best = longer(best, match_address(ahead));
  return wordlike && !is_apostrophe(front) ? best : longer(best, match_sign(ahead));
}

// One line a caption; white space inside one ends no line.
std::u32string stream_of(std::span<const std::string> captions) {
  std::u32string stream;
  for (size_t i = 0; i < captions.size(); ++i) {
    if (i > 0) stream += U'\n';
    std::u32string line = code_points(captions[i]);
    std::replace_if(line.begin(), line.end(), is_line_end, U' ');
    stream += line;
  }
  return stream;
}

bool is_punctuation(std::string_view token) {
  static constexpr std::string_view kPunctuation[] = {"''", "'", "``", "`",  ".",   "?", "!",
                                                      ",",  ":", "-",  "--", "...", ";"};
  return std::find(std::begin(kPunctuation), std::end(kPunctuation), token) !=
         std::end(kPunctuation);
}

std::string without_punctuation(const std::string& line) {
  std::string kept;
  for (const std::string& token : split(line, ' ')) {
    if (is_punctuation(token)) continue;
    if (!kept.empty()) kept += ' ';
    kept += token;
  }
  return kept;
}

}  // namespace

std::vector<std::string> ptb_lines(std::span<const std::string> captions) {
  const std::u32string stream = stream_of(captions);
  std::vector<std::string> lines;
  if (captions.empty()) return lines;
  lines.emplace_back();
  for (size_t at = 0; at < stream.size();) {
    if (stream[at] == U'\n') {
      lines.emplace_back();
      ++at;
      continue;
    }
    const Ahead ahead(stream, at);
    const Lexeme found = is_blank(stream[at]) ? Lexeme{} : next_lexeme(ahead);
    if (found.length == 0) {  // white space, or a character that no rule knows
      ++at;
      continue;
    }
    std::string& line = lines.back();
    if (!line.empty()) line += ' ';
    const std::u32string_view written = found.written;
    line += to_utf8(lower_case(written.empty() ? ahead.first(found.length) : written));
    at += found.length;
  }
  return lines;
}

std::vector<std::string> tokenize_captions(std::span<const std::string> captions) {
  std::vector<std::string> lines = ptb_lines(captions);
  for (std::string& line : lines) line = without_punctuation(line);
  return lines;
}

bool has_line_end(const std::string& caption) {
  const std::u32string points = code_points(caption);
  return std::any_of(points.begin(), points.end(),
                     [](char32_t point) { return point != U'\n' && is_line_end(point); });
}

}  // namespace fastvlm
