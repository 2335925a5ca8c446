// SPDX-License-Identifier: Apache-2.0
// JSON and JSON lines that people made: large, and not always UTF-8.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

// Stands in the values for bytes that are no UTF-8: U+FDD0, which is no character.
inline constexpr std::string_view kBadByte = "\xEF\xB7\x90";

struct JsonFile {
  std::vector<nlohmann::json> values;  // one, or one a line; never empty
  bool lines = false;
};

// The text of a file of at most 2 GB.
Result<std::string> read_json_text(const std::filesystem::path& path);
// The value of `text`, or a discarded one when it is no JSON or nests deeper than 64 levels. Bytes
// that are no UTF-8 become kBadByte.
nlohmann::json parse_json(std::string_view text);

// At most 2 GB and 64 levels deep.
Result<JsonFile> read_json_or_lines(const std::filesystem::path& path);
Result<nlohmann::json> read_json(const std::filesystem::path& path);
// The same from text; `name` stands in messages.
Result<JsonFile> parse_json_or_lines(std::string_view text, const std::string& name);

}  // namespace fastvlm
