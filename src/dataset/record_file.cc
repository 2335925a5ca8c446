// SPDX-License-Identifier: Apache-2.0
#include "dataset/record_file.h"

#include <algorithm>

#include "base/strings.h"
#include "dataset/json_file.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using nlohmann::json;

struct Piece {
  size_t begin;
  size_t end;
};

std::vector<Piece> lines_of(std::string_view text) {
  std::vector<Piece> pieces;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    pieces.push_back({begin, end});
    begin = end + 1;
  }
  return pieces;
}

// Behind the string that starts at `at` with its quote.
size_t behind_string(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    if (text[at] == '\\') ++at;
  }
  return std::min(at + 1, text.size());
}

// The elements of the list that starts at `at`: what stands between its commas. `closed`: it ends.
std::vector<Piece> elements_of(std::string_view text, size_t at, bool& closed) {
  std::vector<Piece> pieces;
  size_t begin = at + 1;
  int depth = 1;
  for (++at; at < text.size() && depth > 0;) {
    const char c = text[at];
    if (c == '"') {
      at = behind_string(text, at);
      continue;
    }
    if (c == '[' || c == '{') ++depth;
    if (c == ']' || c == '}') --depth;
    if ((depth == 1 && c == ',') || depth == 0) {
      pieces.push_back({begin, at});
      begin = at + 1;
    }
    ++at;
  }
  closed = depth == 0;
  if (!closed) pieces.push_back({begin, text.size()});
  if (trimmed(text.substr(at)).empty()) return pieces;
  pieces.push_back({at, text.size()});  // something behind the list
  return pieces;
}

}  // namespace

Result<std::vector<FileRecord>> parse_records(std::string_view text, const std::string& name) {
  constexpr std::string_view kBlanks = " \t\r\n";
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const size_t first = text.find_first_not_of(kBlanks);
  const bool list = first != std::string_view::npos && text[first] == '[';
  bool closed = true;
  std::vector<FileRecord> records;
  size_t counted = 0;
  int64_t line = 1;
  for (const Piece& piece : list ? elements_of(text, first, closed) : lines_of(text)) {
    const std::string_view all = text.substr(piece.begin, piece.end - piece.begin);
    const size_t skipped = all.find_first_not_of(kBlanks);
    if (skipped == std::string_view::npos) continue;
    const size_t begin = piece.begin + skipped;
    line += std::count(text.begin() + static_cast<std::ptrdiff_t>(counted),
                       text.begin() + static_cast<std::ptrdiff_t>(begin), '\n');
    counted = begin;
    const std::string_view own = trimmed(all);
    FileRecord record{line, parse_json(own), {}};
    if (record.value.is_discarded()) record.excerpt = excerpt(own);
    records.push_back(std::move(record));
  }
  // A file that was cut off between two records, which are whole.
  if (!closed && (records.empty() || !records.back().value.is_discarded())) {
    records.push_back({1 + std::count(text.begin(), text.end(), '\n'),
                       json(json::value_t::discarded), "the file's end: its list is not closed"});
  }
  if (records.empty()) {
    return error(Code::kInvalid, cat(name, ": expected conversations, found none"),
                 "give a JSON list, or one JSON object a line");
  }
  return records;
}

Result<std::vector<FileRecord>> read_records(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const std::string text, read_json_text(path));
  return parse_records(text, path.string());
}

}  // namespace fastvlm
