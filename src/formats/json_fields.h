// SPDX-License-Identifier: Apache-2.0
// Typed access to the fields of JSON files, with errors that name file and key.
#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace fastvlm {

// A JSON file whose top level is an object. At most 16 MB and 64 levels deep.
Result<nlohmann::json> read_json_object(const std::filesystem::path& path);
// The same with the keys in the order of the file.
Result<nlohmann::ordered_json> read_ordered_json_object(const std::filesystem::path& path);

// Looks keys up in one object after the other: {text_config, top level}. A key that is null counts
// as absent.
class JsonFields {
 public:
  JsonFields(std::string file, std::vector<const nlohmann::json*> objects)
      : file_(std::move(file)), objects_(std::move(objects)) {}

  // An integer within [lowest, highest]; nothing when the key is absent; an error when it is
  // something else.
  Result<std::optional<int64_t>> find_integer(const char* key, int64_t lowest,
                                              int64_t highest) const;
  Result<std::optional<double>> find_number(const char* key, double lowest, double highest) const;
  Result<std::optional<bool>> find_bool(const char* key) const;
  Result<std::optional<std::string>> find_string(const char* key) const;
  const nlohmann::json* find(const char* key) const;         // null when absent
  const nlohmann::json* find_object(const char* key) const;  // null when absent or no object

  Result<int64_t> integer(const char* key, int64_t lowest, int64_t highest) const;

  // "…/config.json: key `hidden_size`: expected a positive integer, found "896"".
  Status wrong(const char* key, const std::string& expected) const;
  Status missing(const char* key, const std::string& expected) const;

 private:
  std::string file_;
  std::vector<const nlohmann::json*> objects_;
};

}  // namespace fastvlm
