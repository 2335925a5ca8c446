// SPDX-License-Identifier: Apache-2.0
// Small string helpers for messages (gcc 12 has no <format>).
#pragma once

#include <cstddef>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace fastvlm {

// The same bytes, seen as text.
inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// The arguments, streamed one after the other: cat("expected ", 3, ", found ", n).
template <typename... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  (out << ... << args);
  return std::move(out).str();
}

// "person, dog, ball"
template <typename Range>
std::string joined(const Range& values, std::string_view separator = ", ") {
  std::ostringstream out;
  bool first = true;
  for (const auto& value : values) {
    if (!first) out << separator;
    first = false;
    out << value;
  }
  return std::move(out).str();
}

// "[3, 224, 224]", for shapes in messages.
template <typename Range>
std::string bracketed(const Range& values) {
  return cat('[', joined(values), ']');
}

std::vector<std::string> split(std::string_view text, char separator);
std::string_view trimmed(std::string_view text);
std::string lower_case(std::string_view text);  // ASCII letters alone
bool starts_with_ignoring_case(std::string_view text, std::string_view prefix);

// `text` as it may be shown on a terminal, on one line: control characters (line ends, escapes, C1)
// and marks that turn the direction of writing become `?`. Names and texts that come from a server,
// an archive or a folder go through it before they are printed.
std::string printable(std::string_view text);

// A field of comma-separated values (RFC 4180): in quotes where it needs them.
std::string csv_field(std::string_view text);

// 1234567 -> "1,234,567"; used for parameter counts.
std::string with_thousands(long long value);
std::string fixed(double value, int digits);  // 2.346, 2 -> "2.35"
std::string significant(double value);        // 3 digits: "0.000123", "1.23e-05", "1230"
// Bytes in MB (1e6), one decimal: "356.6 MB".
std::string megabytes(double bytes);

}  // namespace fastvlm
