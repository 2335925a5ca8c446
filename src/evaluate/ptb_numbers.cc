// SPDX-License-Identifier: Apache-2.0
// Numbers, and those whose parts are one token although a space stands between them: there it
// becomes a no-break space.
#include "evaluate/ptb_lexer.h"
#include "text/characters.h"

namespace fastvlm {
namespace {

constexpr char32_t kNoBreakSpace = 0xA0;

bool is_separator(char32_t point) {
  return point == '-' || point == ' ' || point == kNoBreakSpace;
}

size_t digits_end(Ahead ahead, size_t from) {
  while (is_digit(ahead[from])) ++from;
  return from;
}

// How many digits stand at `from`, counted up to `most`.
size_t digits(Ahead ahead, size_t from, size_t most) {
  size_t count = 0;
  while (count < most && is_ascii_digit(ahead[from + count])) ++count;
  return count;
}

Lexeme joined(Ahead ahead, size_t length) {
  Lexeme found = lexeme(length);
  found.written = ahead.first(length);
  for (char32_t& point : found.written) {
    if (point == ' ') point = kNoBreakSpace;
  }
  return found;
}

// 1,000.50, .5, 12:30:45, -3
Lexeme plain_number(Ahead ahead) {
  const size_t start = ahead[0] == '+' || ahead[0] == '-' ? 1 : 0;
  size_t end = digits_end(ahead, start);
  while (ahead[end] == '.' || ahead[end] == ':' || ahead[end] == ',') {
    const size_t next = digits_end(ahead, end + 1);
    if (next == end + 1) break;
    end = next;
  }
  return end == start ? Lexeme{} : lexeme(end);
}

// 3/4, 1 1/2: up to four digits each.
Lexeme fraction(Ahead ahead) {
  const size_t first = digits(ahead, 0, 4);
  if (first == 0) return {};
  size_t end = first;
  if (is_separator(ahead[end])) {
    const size_t numerator = digits(ahead, end + 1, 4);
    if (numerator == 0) return {};
    end += 1 + numerator;
  }
  if (ahead[end] != '/' && ahead[end] != 0x2044) return {};
  const size_t denominator = digits(ahead, end + 1, 4);
  return denominator == 0 ? Lexeme{} : joined(ahead, end + 1 + denominator);
}

// The end of the last two groups of a telephone number, 555-1212, at `from`; 0 when there are none.
size_t subscriber_end(Ahead ahead, size_t from) {
  for (size_t exchange = digits(ahead, from, 4); exchange >= 3; --exchange) {
    const size_t next = from + exchange;
    const size_t line = is_separator(ahead[next]) ? next + 1 : next;
    const size_t count = digits(ahead, line, 5);
    if (count >= 3) return line + count;
  }
  return 0;
}

// 415 555 1212, (415) 555-1212: two or three groups of digits.
Lexeme telephone_number(Ahead ahead) {
  size_t end = 0;
  if (ahead[0] == '(') {
    const size_t area = digits(ahead, 1, 3);
    if (area < 2 || ahead[1 + area] != ')') return {};
    const size_t next = 2 + area;
    end = subscriber_end(ahead, is_separator(ahead[next]) && ahead[next] != '-' ? next + 1 : next);
  } else {
    const size_t first = digits(ahead, 0, 4);
    if (first < 2 || !is_separator(ahead[first])) return {};
    end = subscriber_end(ahead, first + 1);
    const size_t second = digits(ahead, first + 1, 4);
    if (second >= 2 && is_separator(ahead[first + 1 + second])) {
      end = std::max(end, subscriber_end(ahead, first + 2 + second));
    }
  }
  if (end == 0) return {};
  Lexeme found = joined(ahead, end);
  if (ahead[0] == '(') {
    found.written.replace(found.written.find(U')'), 1, U"-rrb-");
    found.written.replace(0, 1, U"-lrb-");
  }
  return found;
}

}  // namespace

Lexeme match_number(Ahead ahead) {
  return longer(longer(telephone_number(ahead), fraction(ahead)), plain_number(ahead));
}

}  // namespace fastvlm
