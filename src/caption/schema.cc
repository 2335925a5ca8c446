// SPDX-License-Identifier: Apache-2.0
#include "caption/schema.h"

#include <algorithm>
#include <cctype>
#include <initializer_list>

#include "base/strings.h"

namespace fastvlm {
namespace {

struct SectionNames {
  std::string_view key;
  std::string_view title;
  std::vector<std::string_view> aliases;  // shorter names, taken only with a number or markup
};

const std::array<SectionNames, kSectionCount>& names() {
  static const std::array<SectionNames, kSectionCount> kNames = {{
      {"main_focus", "Main Focus", {"Main Subject", "Focus"}},
      {"surroundings",
       "Surrounding Objects & Context",
       {"Surrounding Objects", "Surroundings & Context", "Surroundings", "Context"}},
      {"spatial",
       "Spatial Relationships",
       {"Spatial Relationship", "Spatial Relations", "Spatial"}},
      {"activities", "Activities & Interactions", {"Activities", "Activity", "Interactions"}},
      {"scene",
       "Scene Type & Time",
       {"Scene Type", "Scene & Time", "Scene", "Time of Day", "Time"}},
      {"inferences",
       "Inferences & Intent",
       {"Inference & Intent", "Inferences", "Inference", "Intent"}},
      {"style", "Style & Aesthetic", {"Style & Aesthetics", "Style", "Aesthetics", "Aesthetic"}},
  }};
  return kNames;
}

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}
bool is_word(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return std::isalnum(byte) != 0 || byte >= 0x80;
}

// A place in the text that reads forward.
class Cursor {
 public:
  Cursor(std::string_view text, size_t at) : text_(text), at_(at) {}

  size_t at() const { return at_; }
  bool done() const { return at_ >= text_.size(); }
  char peek() const { return done() ? '\n' : text_[at_]; }
  bool at_line_end() const { return peek() == '\n'; }
  void next() { ++at_; }

  void skip_blanks() {
    while (!done() && is_blank(text_[at_])) ++at_;
  }
  bool take(std::string_view expected) {
    if (!starts_with_ignoring_case(text_.substr(at_), expected)) return false;
    at_ += expected.size();
    return true;
  }
  bool take_any(std::initializer_list<std::string_view> choices) {
    return std::any_of(choices.begin(), choices.end(),
                       [this](auto choice) { return take(choice); });
  }

  // Takes `name`, ignoring case and the width of blanks; its "&" may be written "and". The name
  // must end there.
  bool take_name(std::string_view name) {
    Cursor ahead = *this;
    for (size_t i = 0; i < name.size(); ++i) {
      if (name[i] == ' ') {
        if (!is_blank(ahead.peek())) return false;
        ahead.skip_blanks();
      } else if (!ahead.take(name.substr(i, 1)) && !(name[i] == '&' && ahead.take("and"))) {
        return false;
      }
    }
    if (!ahead.done() && is_word(ahead.peek()) && !ahead.starts_dash()) return false;
    at_ = ahead.at_;
    return true;
  }
  bool starts_dash() const {
    const std::string_view rest = text_.substr(std::min(at_, text_.size()));
    return rest.starts_with("–") || rest.starts_with("—") || rest.starts_with("：");
  }

 private:
  std::string_view text_;
  size_t at_;
};

// What stands between the start of a header and its name.
struct Opening {
  int number = 0;       // 0: none
  bool markup = false;  // a Markdown heading or bold
};

// Takes "## ", "> ", "- ", "• " at the start of a line.
void take_line_marks(Cursor& cursor, Opening& opening) {
  while (true) {
    cursor.skip_blanks();
    if (cursor.peek() == '#') {
      opening.markup = true;
      cursor.next();
    } else if (!cursor.take_any({"> ", "- ", "+ ", "* ", "• "})) {
      return;
    }
  }
}

bool take_bold(Cursor& cursor) {
  return cursor.take_any({"***", "**", "__", "*", "_"});
}

// Takes "3.", "3)", "(3)", "3:", "3 -", "[3]" and the keycap digit, of one to seven; leaves
// anything else.
int take_number(Cursor& cursor) {
  Cursor ahead = cursor;
  const bool bracket = ahead.take_any({"(", "["});
  const char digit = ahead.peek();
  if (digit < '1' || digit > '7') return 0;
  ahead.next();
  const bool marked = ahead.take("\uFE0F\u20E3") || ahead.take_any({".", ")", "]", ":"});
  if (!marked) {
    ahead.skip_blanks();
    if (!ahead.take_any({"- ", "– ", "— "})) return 0;
  }
  if (bracket && !marked) return 0;
  cursor = ahead;
  return digit - '0';
}

// Takes the number and the bold marks around it, in any of their orders: "1. **", "**1.** ", "**1.
// ".
void take_opening(Cursor& cursor, Opening& opening) {
  opening.markup |= take_bold(cursor);
  cursor.skip_blanks();
  opening.number = take_number(cursor);
  cursor.skip_blanks();
  for (int marks = 0; marks < 2 && take_bold(cursor); ++marks) {
    opening.markup = true;
    cursor.skip_blanks();
  }
}

struct Closing {
  bool bold = false;
  bool separator = false;
};

// Takes closing bold, then ":" or a dash, then closing bold.
Closing take_closing(Cursor& cursor) {
  Closing closing;
  Cursor ahead = cursor;
  for (int round = 0; round < 2; ++round) {
    if (take_bold(ahead)) {
      closing.bold = true;
      cursor = ahead;
    }
    ahead.skip_blanks();
    if (!closing.separator && ahead.take_any({":", "：", "–", "—", "- ", "-\n"})) {
      closing.separator = true;
      cursor = ahead;
    }
  }
  return closing;
}

struct Header {
  Section section = Section::kMainFocus;
  bool by_alias = false;
  size_t end = 0;  // where the body starts
};

struct Title {
  Section section;
  bool by_alias;
};

// Takes a section's full name, or a short one where number or markup say that a header stands here.
std::optional<Title> take_title(Cursor& cursor, const Opening& opening) {
  for (const Section section : kAllSections) {
    const SectionNames& name = names()[static_cast<size_t>(section)];
    if (cursor.take_name(name.title)) return Title{section, false};
    const bool own_number = opening.number == static_cast<int>(section) + 1;
    if (!own_number && !(opening.markup && opening.number == 0)) continue;
    for (const std::string_view alias : name.aliases) {
      if (cursor.take_name(alias)) return Title{section, true};
    }
  }
  return std::nullopt;
}

// The header that starts at `at`, if one does. Inside a line only a full name with a number or
// markup is a header.
std::optional<Header> header_at(std::string_view text, size_t at, bool at_line_start) {
  Cursor cursor(text, at);
  Opening opening;
  if (at_line_start) take_line_marks(cursor, opening);
  take_opening(cursor, opening);
  const size_t title_begin = cursor.at();
  const std::optional<Title> title = take_title(cursor, opening);
  if (!title) return std::nullopt;
  if (!at_line_start && (title->by_alias || (opening.number == 0 && !opening.markup))) {
    return std::nullopt;
  }
  const Closing closing = take_closing(cursor);
  Header header{title->section, title->by_alias, cursor.at()};
  if (closing.separator) return header;
  cursor.skip_blanks();
  if (at_line_start && cursor.at_line_end()) return header;
  // No separator. "1. Main Focus A dog" has a header; "Main Focus of the image" and "its **Main
  // Focus** is" have none, and in "1. Main Focus of the image" the number is the header.
  const bool numbered = opening.number == static_cast<int>(title->section) + 1 && !title->by_alias;
  const bool sentence_goes_on = std::islower(static_cast<unsigned char>(cursor.peek())) != 0;
  if (sentence_goes_on) {
    header.end = title_begin;
    return numbered && at_line_start ? std::optional(header) : std::nullopt;
  }
  return numbered || (closing.bold && at_line_start) ? std::optional(header) : std::nullopt;
}

// Moves the start of a header back over blank lines and over a rule ("---") on a line of its own.
size_t before_rule(std::string_view text, size_t floor, size_t begin) {
  const std::string_view before = text.substr(floor, begin - floor);
  const size_t last = before.find_last_not_of(" \t\r\n");
  if (last == std::string_view::npos) return begin;
  const size_t line_end = last + 1;
  const size_t line_break = before.find_last_of('\n', last);
  const size_t line = line_break == std::string_view::npos ? 0 : line_break + 1;
  const std::string_view rule = before.substr(line, line_end - line);
  const bool is_rule = rule.size() >= 3 && before.find('\n', last) != std::string_view::npos &&
                       std::string_view("-*_").find(rule[0]) != std::string_view::npos &&
                       rule.find_first_not_of(rule[0]) == std::string_view::npos;
  return is_rule ? floor + line : begin;
}

struct Found {
  size_t begin = 0;
  Header header;
};

std::vector<Found> named_headers(std::string_view text) {
  std::vector<Found> found;
  bool at_line_start = true;
  for (size_t at = 0; at < text.size();) {
    const bool candidate =
        at_line_start || (is_blank(text[at - 1]) && !is_blank(text[at]) &&
                          (std::isdigit(static_cast<unsigned char>(text[at])) != 0 ||
                           std::string_view("*_([").find(text[at]) != std::string_view::npos));
    std::optional<Header> header = candidate ? header_at(text, at, at_line_start) : std::nullopt;
    // A short name of the section we are in ("Time:" under "Scene Type & Time") is a label of its
    // text.
    if (header && header->by_alias && !found.empty() &&
        found.back().header.section == header->section) {
      header.reset();
    }
    if (header) found.push_back({at, *header});
    const size_t next = header ? std::max(header->end, at + 1) : at + 1;
    at_line_start = text[next - 1] == '\n';
    at = next;
  }
  return found;
}

// An answer that names no section but numbers its lines from one to seven, each number once and in
// order.
std::vector<Found> numbered_headers(std::string_view text) {
  std::vector<Found> found;
  for (size_t line = 0; line < text.size();) {
    Cursor cursor(text, line);
    Opening opening;
    take_line_marks(cursor, opening);
    take_opening(cursor, opening);
    if (opening.number != 0) {
      if (opening.number != static_cast<int>(found.size()) + 1) return {};
      found.push_back({line, {kAllSections[found.size()], false, cursor.at()}});
    }
    const size_t end = text.find('\n', line);
    line = end == std::string_view::npos ? text.size() : end + 1;
  }
  return found.size() == kSectionCount ? found : std::vector<Found>{};
}

}  // namespace

std::string_view section_key(Section section) {
  return names()[static_cast<size_t>(section)].key;
}

std::string_view section_title(Section section) {
  return names()[static_cast<size_t>(section)].title;
}

std::vector<SectionPart> split_sections(std::string_view text) {
  std::vector<Found> found = named_headers(text);
  if (found.empty()) found = numbered_headers(text);
  std::vector<SectionPart> parts;
  size_t floor = 0;
  for (Found& header : found) {
    header.begin = before_rule(text, floor, header.begin);
    floor = header.header.end;
  }
  const size_t first = found.empty() ? text.size() : found.front().begin;
  if (first > 0) parts.push_back({std::nullopt, 0, 0, first});
  for (size_t i = 0; i < found.size(); ++i) {
    const size_t end = i + 1 < found.size() ? found[i + 1].begin : text.size();
    parts.push_back({found[i].header.section, found[i].begin, found[i].header.end, end});
  }
  return parts;
}

Sections parse_sections(std::string_view text) {
  Sections sections;
  for (const SectionPart& part : split_sections(text)) {
    if (!part.section) continue;
    const std::string_view body = trimmed(text.substr(part.body, part.end - part.body));
    std::optional<std::string>& section = sections[static_cast<size_t>(*part.section)];
    if (!section) {
      section = std::string(body);
    } else if (!body.empty()) {
      if (!section->empty()) *section += '\n';
      *section += body;
    }
  }
  return sections;
}

}  // namespace fastvlm
