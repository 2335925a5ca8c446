// SPDX-License-Identifier: Apache-2.0
// A JSON list, or JSON lines, cut into its records with the line where each begins, so that what is
// wrong with one of them can be told by file and line. Goals: one bad record spoils no other.
// Non-goals: what stands in the records.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct FileRecord {
  int64_t line = 1;
  nlohmann::json value;  // discarded: not JSON, or nested too deeply
  std::string excerpt;   // of the text, where it is not JSON
};

// kNotFound, kLimit (more than 2 GB), kInvalid: no records at all.
Result<std::vector<FileRecord>> read_records(const std::filesystem::path& path);
Result<std::vector<FileRecord>> parse_records(std::string_view text, const std::string& name);

}  // namespace fastvlm
