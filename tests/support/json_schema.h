// SPDX-License-Identifier: Apache-2.0
// Checks a JSON value against the part of JSON Schema (2020-12) that docs/*.schema.json use. A
// keyword that it does not know is a complaint, so that a schema cannot grow past the checker
// unseen.
#pragma once

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace fastvlm::test {

inline bool has_type(const nlohmann::json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "integer") return value.is_number_integer();
  if (type == "number") return value.is_number();
  if (type == "boolean") return value.is_boolean();
  return type == "null" && value.is_null();
}

// Appends one line to `complaints` for each place where `value` does not fit `schema`.
inline void check_schema(const nlohmann::json& schema, const nlohmann::json& value,
                         const std::string& where, std::vector<std::string>& complaints) {
  const auto complain = [&](const std::string& what) { complaints.push_back(where + ": " + what); };
  static const std::set<std::string> kKnown = {"$schema",
                                               "title",
                                               "description",
                                               "type",
                                               "required",
                                               "properties",
                                               "additionalProperties",
                                               "items",
                                               "enum",
                                               "pattern",
                                               "minimum",
                                               "maximum"};
  for (const auto& [keyword, unused] : schema.items()) {
    if (!kKnown.contains(keyword)) complain("unknown keyword " + keyword);
  }
  if (schema.contains("type")) {
    const auto& type = schema["type"];
    const bool fits = type.is_array()
                          ? std::any_of(type.begin(), type.end(),
                                        [&](const auto& one) { return has_type(value, one); })
                          : has_type(value, type);
    if (!fits) return complain("expected " + type.dump() + ", found " + value.dump());
  }
  if (schema.contains("enum") &&
      std::find(schema["enum"].begin(), schema["enum"].end(), value) == schema["enum"].end()) {
    complain("not in the enum: " + value.dump());
  }
  if (schema.contains("pattern") &&
      !std::regex_search(value.get<std::string>(),
                         std::regex(schema["pattern"].get<std::string>()))) {
    complain("does not match " + schema["pattern"].dump() + ": " + value.dump());
  }
  if (schema.contains("minimum") && value < schema["minimum"])
    complain("below the minimum: " + value.dump());
  if (schema.contains("maximum") && value > schema["maximum"])
    complain("above the maximum: " + value.dump());
  if (value.is_array() && schema.contains("items")) {
    for (size_t i = 0; i < value.size(); ++i)
      check_schema(schema["items"], value[i], where + "[" + std::to_string(i) + "]", complaints);
  }
  if (!value.is_object()) return;
  for (const auto& key : schema.value("required", nlohmann::json::array())) {
    if (!value.contains(key.get<std::string>())) complain("lacks " + key.dump());
  }
  const auto properties = schema.value("properties", nlohmann::json::object());
  const auto others = schema.value("additionalProperties", nlohmann::json(true));
  for (const auto& [key, member] : value.items()) {
    if (properties.contains(key)) {
      check_schema(properties[key], member, where + "." + key, complaints);
    } else if (others.is_object()) {
      check_schema(others, member, where + "." + key, complaints);
    } else if (others == false) {
      complain("has an unknown member " + key);
    }
  }
}

inline std::vector<std::string> schema_complaints(const nlohmann::json& schema,
                                                  const nlohmann::json& value) {
  std::vector<std::string> complaints;
  check_schema(schema, value, "$", complaints);
  return complaints;
}

}  // namespace fastvlm::test
