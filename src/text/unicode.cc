// SPDX-License-Identifier: Apache-2.0
#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <span>
#include <vector>

namespace fastvlm {
namespace {

constexpr std::string_view kReplacementUtf8 = "\xEF\xBF\xBD";  // U+FFFD

uint8_t byte_at(std::string_view bytes, size_t i) {
  return static_cast<uint8_t>(bytes[i]);
}

// What may follow a lead byte: so many bytes, the first of them within [low, high] and the others
// within [0x80, 0xBF] (Unicode 15, table 3-7). `count` 0 for a byte that leads nothing.
struct Continuation {
  size_t count;
  uint8_t low;
  uint8_t high;
};

Continuation continuation(uint8_t lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return {1, 0x80, 0xBF};
  if (lead == 0xE0) return {2, 0xA0, 0xBF};
  if (lead == 0xED) return {2, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return {2, 0x80, 0xBF};
  if (lead == 0xF0) return {3, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return {3, 0x80, 0xBF};
  if (lead == 0xF4) return {3, 0x80, 0x8F};
  return {0, 0, 0};
}

char32_t code_point(std::string_view character) {
  const uint8_t lead = byte_at(character, 0);
  if (character.size() == 1) return lead;
  char32_t value = lead & (0xFFU >> (character.size() + 1));
  for (size_t i = 1; i < character.size(); ++i) value = value << 6 | (byte_at(character, i) & 0x3F);
  return value;
}

// All code points below U+0300 are their own normal form and combine with nothing before them.
bool is_surely_nfc(std::string_view utf8) {
  return std::none_of(utf8.begin(), utf8.end(),
                      [](char c) { return static_cast<uint8_t>(c) >= 0xCC; });
}

bool combines(utf8proc_int32_t value) {
  return utf8proc_get_property(value)->combining_class != 0;
}

// Sorts each run of combining marks by class; utf8proc's own sort takes quadratic time on long
// runs.
void order_marks(std::vector<utf8proc_int32_t>& points) {
  const auto by_class = [](utf8proc_int32_t a, utf8proc_int32_t b) {
    return utf8proc_get_property(a)->combining_class < utf8proc_get_property(b)->combining_class;
  };
  for (auto begin = points.begin(); begin != points.end();) {
    begin = std::find_if(begin, points.end(), combines);
    const auto end = std::find_if_not(begin, points.end(), combines);
    std::stable_sort(begin, end, by_class);
    begin = end;
  }
}

// utf8proc takes this vowel for "no tail" of a Hangul syllable and drops it; it composes with
// nothing, so text may be composed on both sides of it.
constexpr char32_t kJamoBeforeTails = 0x11A7;

// Appends the composition of decomposed, ordered code points, which it changes.
void compose(std::span<utf8proc_int32_t> points, std::string& text) {
  const auto length =
      utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  for (const auto point : points.first(static_cast<size_t>(length))) {
    append_utf8(static_cast<char32_t>(point), text);
  }
}

// byte -> code point of GPT-2's table: printable Latin-1 stands for itself, the others are
// numbered from U+0100 on.
std::array<char32_t, 256> make_printable() {
  std::array<char32_t, 256> table{};
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
    table[byte] = printable ? byte : next++;
  }
  return table;
}

const std::array<char32_t, 256>& printable_table() {
  static const auto kTable = make_printable();
  return kTable;
}

// The inverse: code point below U+0144 -> byte, -1 for none.
std::array<int16_t, 0x144> make_bytes() {
  std::array<int16_t, 0x144> table;
  table.fill(-1);
  for (size_t byte = 0; byte < 256; ++byte) {
    table[printable_table()[byte]] = static_cast<int16_t>(byte);
  }
  return table;
}

}  // namespace

void append_utf8(char32_t value, std::string& text) {
  std::array<utf8proc_uint8_t, 4> bytes;
  const auto count = utf8proc_encode_char(static_cast<utf8proc_int32_t>(value), bytes.data());
  text.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(count));
}

Utf8Front utf8_front(std::string_view bytes) {
  using Kind = Utf8Front::Kind;
  if (byte_at(bytes, 0) < 0x80) return {Kind::kCharacter, 1};
  const Continuation next = continuation(byte_at(bytes, 0));
  if (next.count == 0) return {Kind::kInvalid, 1};
  for (size_t i = 1; i <= next.count; ++i) {
    if (i == bytes.size()) return {Kind::kIncomplete, i};
    const uint8_t low = i == 1 ? next.low : 0x80;
    const uint8_t high = i == 1 ? next.high : 0xBF;
    if (byte_at(bytes, i) < low || byte_at(bytes, i) > high) return {Kind::kInvalid, i};
  }
  return {Kind::kCharacter, next.count + 1};
}

size_t append_whole_characters(std::string_view bytes, std::string& text) {
  size_t at = 0;
  while (at < bytes.size()) {
    const Utf8Front front = utf8_front(bytes.substr(at));
    if (front.kind == Utf8Front::Kind::kIncomplete) break;
    text +=
        front.kind == Utf8Front::Kind::kInvalid ? kReplacementUtf8 : bytes.substr(at, front.length);
    at += front.length;
  }
  return at;
}

std::string with_replacements(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  if (append_whole_characters(bytes, text) < bytes.size()) text += kReplacementUtf8;
  return text;
}

std::string excerpt(std::string_view bytes) {
  std::string text = with_replacements(bytes.substr(0, 80));
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0x20; }, ' ');
  return text;
}

std::string nfc(std::string_view utf8) {
  if (is_surely_nfc(utf8)) return std::string(utf8);
  std::vector<utf8proc_int32_t> points;
  points.reserve(utf8.size());
  std::array<utf8proc_int32_t, 8> parts;  // a canonical decomposition has at most 4 code points
  for (size_t at = 0; at < utf8.size();) {
    const size_t length = utf8_front(utf8.substr(at)).length;
    const auto value = static_cast<utf8proc_int32_t>(code_point(utf8.substr(at, length)));
    const auto count =
        utf8proc_decompose_char(value, parts.data(), parts.size(), UTF8PROC_DECOMPOSE, nullptr);
    points.insert(points.end(), parts.begin(), parts.begin() + count);
    at += length;
  }
  order_marks(points);
  std::string text;
  text.reserve(utf8.size());
  for (auto begin = points.begin(); begin != points.end();) {
    const auto end =
        std::find(begin, points.end(), static_cast<utf8proc_int32_t>(kJamoBeforeTails));
    compose(std::span(begin, end), text);
    begin = end;
    if (begin == points.end()) break;
    append_utf8(kJamoBeforeTails, text);
    ++begin;
  }
  return text;
}

std::optional<std::string> bytes_from_printable(std::string_view token) {
  static const auto kBytes = make_bytes();
  std::string bytes;
  for (size_t at = 0; at < token.size();) {
    const Utf8Front front = utf8_front(token.substr(at));
    if (front.kind != Utf8Front::Kind::kCharacter) return std::nullopt;
    const char32_t value = code_point(token.substr(at, front.length));
    if (value >= kBytes.size() || kBytes[value] < 0) return std::nullopt;
    bytes += static_cast<char>(kBytes[value]);
    at += front.length;
  }
  return bytes;
}

std::string printable_from_bytes(std::string_view bytes) {
  std::string token;
  for (const char byte : bytes) append_utf8(printable_table()[static_cast<uint8_t>(byte)], token);
  return token;
}

}  // namespace fastvlm
