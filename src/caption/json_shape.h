// SPDX-License-Identifier: Apache-2.0
// The part of JSON Schema (2020-12) that an answer can be made to fit: objects whose properties
// come in the order in which the schema lists them, all of them; arrays with items, minItems and
// maxItems; strings with maxLength or enum; numbers, integers, booleans. Annotations (title,
// description, $schema, default, examples) are read over. Non-goals: everything else, which is
// refused by name.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

inline constexpr size_t kMostChoices = 1000;  // texts that one value may be

struct JsonShape {
  enum class Kind { kObject, kArray, kString, kNumber, kInteger, kBoolean };

  Kind kind = Kind::kObject;
  std::vector<std::string> names;         // of an object's members, in their order
  std::vector<JsonShape> parts;           // the members; of an array, the one shape of its items
  size_t least_items = 1;                 // of an array; one unless maxItems is 0
  size_t most_items = SIZE_MAX;           // of an array
  std::optional<size_t> most_characters;  // of a string
  std::vector<std::string> choices;       // a string is one of them
};

struct JsonSchema {
  std::string name;    // of its file, without path and ending
  std::string sha256;  // of the file's text
  std::string text;    // the schema on one line
  JsonShape shape;
};

// Reads a schema file; `file` is its name in messages. kInvalid: no JSON, or values that make no
// sense. kUnsupported: a keyword or type outside the subset. Both name the path
// ("people.json: $.properties.age").
Result<JsonSchema> parse_json_schema(std::string_view text, const std::string& file);

// What to ask a model with.
std::string json_schema_prompt(const JsonSchema& schema);

}  // namespace fastvlm
