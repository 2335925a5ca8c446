// SPDX-License-Identifier: Apache-2.0
#include "base/strings.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

namespace fastvlm {
namespace {

// The bytes of the UTF-8 character at the beginning of `text`; 1 for a byte that begins none.
size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
  if (lead > 0xF4 || text.size() < bytes) return 1;
  for (size_t i = 1; i < bytes; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 1;
  }
  return bytes;
}

bool is_harmless(std::string_view character) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) >= 0x20 && (byte(0) < 0x7F || byte(0) > 0x9F);
  if (character.size() == 2) return byte(0) != 0xC2 || byte(1) > 0x9F;  // U+0080 .. U+009F
  if (character.size() == 3 && byte(0) == 0xE2) {
    // U+2028 .. U+202E: line and paragraph ends, directions; U+2066 .. U+2069: directions.
    return !(byte(1) == 0x80 && byte(2) >= 0xA8 && byte(2) <= 0xAE) &&
           !(byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9);
  }
  return true;
}

}  // namespace

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  size_t start = 0;
  while (true) {
    const size_t end = text.find(separator, start);
    if (end == std::string_view::npos) break;
    parts.emplace_back(text.substr(start, end - start));
    start = end + 1;
  }
  parts.emplace_back(text.substr(start));
  return parts;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n\f\v";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool starts_with_ignoring_case(std::string_view text, std::string_view prefix) {
  if (text.size() < prefix.size()) return false;
  return std::equal(
      prefix.begin(), prefix.end(), text.begin(),
      [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const std::string_view character = text.substr(0, character_bytes(text));
    if (is_harmless(character)) {
      shown += character;
    } else {
      shown += '?';
    }
    text.remove_prefix(character.size());
  }
  return shown;
}

std::string with_thousands(long long value) {
  std::string digits = std::to_string(value);
  const size_t first = digits.front() == '-' ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  quoted += '"';
  return quoted;
}

std::string fixed(double value, int digits) {
  char text[400];  // the largest double has 309 digits before the point
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string significant(double value) {
  // %g turns to powers of ten too early for people.
  if (std::abs(value) >= 1000 && std::abs(value) < 1e9) return fixed(value, 0);
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::string megabytes(double bytes) {
  return fixed(bytes / 1e6, 1) + " MB";
}

}  // namespace fastvlm
