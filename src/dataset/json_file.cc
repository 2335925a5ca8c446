// SPDX-License-Identifier: Apache-2.0
#include "dataset/json_file.h"

#include <fstream>

#include "base/strings.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr std::uintmax_t kMostBytes = std::uintmax_t{2} << 30;
constexpr int kDeepest = 64;

std::string with_bad_bytes_marked(std::string_view text) {
  std::string marked;
  marked.reserve(text.size());
  while (!text.empty()) {
    const Utf8Front front = utf8_front(text);
    marked += front.kind == Utf8Front::Kind::kCharacter ? text.substr(0, front.length) : kBadByte;
    text.remove_prefix(front.length);
  }
  return marked;
}

// The value of `text`, or discarded when it is none or nests too deep.
json parsed(std::string_view text) {
  bool too_deep = false;
  const auto watch = [&too_deep](int depth, json::parse_event_t event, json&) {
    const bool opens =
        event == json::parse_event_t::object_start || event == json::parse_event_t::array_start;
    too_deep = too_deep || (opens && depth >= kDeepest);
    return !too_deep;
  };
  json value = json::parse(text, watch, false);
  return too_deep ? json(json::value_t::discarded) : value;
}

}  // namespace

Result<std::string> read_json_text(const std::filesystem::path& path) {
  std::error_code problem;
  const std::uintmax_t size = std::filesystem::file_size(path, problem);
  if (problem || !std::filesystem::is_regular_file(path, problem)) {
    return error(Code::kNotFound, cat(path.string(), ": cannot be read"), "check the name");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return error(Code::kNotFound, cat(path.string(), ": cannot be read"), "check the name");
  }
  if (size > kMostBytes) {
    return error(
        Code::kLimit,
        cat(path.string(), ": expected at most 2 GB, found ", megabytes(static_cast<double>(size))),
        "split it");
  }
  std::string text(size, '\0');
  file.read(text.data(), static_cast<std::streamsize>(size));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

json parse_json(std::string_view text) {
  return parsed(with_bad_bytes_marked(text));
}

Result<JsonFile> parse_json_or_lines(std::string_view text, const std::string& name) {
  const std::string marked = with_bad_bytes_marked(text);
  JsonFile file;
  json whole = parsed(marked);
  if (!whole.is_discarded()) {
    file.values.push_back(std::move(whole));
    return file;
  }
  file.lines = true;
  size_t number = 0;
  for (const std::string& line : split(marked, '\n')) {
    ++number;
    if (trimmed(line).empty()) continue;
    json value = parsed(line);
    if (value.is_discarded()) {
      return error(Code::kInvalid,
                   cat(name, ": line ", number, ": expected JSON, found ", excerpt(line)),
                   "give one JSON value, or one on each line");
    }
    file.values.push_back(std::move(value));
  }
  if (file.values.empty()) {
    return error(Code::kInvalid, cat(name, ": expected JSON, found an empty file"),
                 "give one JSON value, or one on each line");
  }
  return file;
}

Result<JsonFile> read_json_or_lines(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const std::string text, read_json_text(path));
  return parse_json_or_lines(text, path.string());
}

Result<json> read_json(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(JsonFile file, read_json_or_lines(path));
  if (file.lines) {
    return error(Code::kInvalid, cat(path.string(), ": expected one JSON value, found lines"),
                 "give a .json file");
  }
  return std::move(file.values[0]);
}

}  // namespace fastvlm
