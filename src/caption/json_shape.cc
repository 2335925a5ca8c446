// SPDX-License-Identifier: Apache-2.0
#include "caption/json_shape.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/sha256.h"
#include "base/strings.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDeepest = 16;
constexpr size_t kMostMembers = 200;

Status invalid(const std::string& path, const std::string& expected, const Json& found) {
  const std::string shown = found.is_structured() ? found.type_name() : excerpt(found.dump());
  return error(Code::kInvalid, cat(path, ": expected ", expected, ", found ", shown),
               "correct the schema");
}

Status unsupported(const std::string& path, const std::string& what) {
  return error(Code::kUnsupported, cat(path, ": ", what, " is not supported"),
               "docs/FORMATS.md lists what a JSON schema may hold");
}

// Refuses keywords that are neither annotations nor among `known`.
Status check_keywords(const Json& schema, const std::string& path,
                      std::initializer_list<const char*> known) {
  static const std::set<std::string> kAnnotations = {
      "$schema", "$id", "title", "description", "default", "examples", "$comment", "type"};
  for (const auto& [key, unused] : schema.items()) {
    if (kAnnotations.contains(key) || std::find(known.begin(), known.end(), key) != known.end()) {
      continue;
    }
    return unsupported(path, cat("\"", excerpt(key), "\" here"));
  }
  return {};
}

Result<std::optional<size_t>> count(const Json& schema, const char* key, const std::string& path) {
  if (!schema.contains(key)) return std::optional<size_t>();
  const Json& value = schema[key];
  if (!value.is_number_unsigned() || value.get<uint64_t>() > 1000000) {
    return invalid(cat(path, ".", key), "a whole number from 0 to 1000000", value);
  }
  return std::optional(static_cast<size_t>(value.get<uint64_t>()));
}

Result<JsonShape> read_shape(const Json& schema, const std::string& path, int depth);

Result<JsonShape> read_object(const Json& schema, const std::string& path, int depth) {
  FASTVLM_RETURN_IF_ERROR(
      check_keywords(schema, path, {"properties", "required", "additionalProperties"}));
  JsonShape shape;
  const Json properties = schema.value("properties", Json::object());
  if (!properties.is_object() || properties.size() > kMostMembers) {
    return invalid(path + ".properties", cat("an object of at most ", kMostMembers), properties);
  }
  for (const auto& [name, property] : properties.items()) {
    FASTVLM_ASSIGN(JsonShape part,
                   read_shape(property, cat(path, ".properties.", name), depth + 1));
    shape.names.push_back(name);
    shape.parts.push_back(std::move(part));
  }
  const Json required = schema.value("required", Json::array());
  if (!required.is_array()) return invalid(path + ".required", "a list of names", required);
  for (const Json& name : required) {
    if (!name.is_string() || !properties.contains(name.get<std::string>())) {
      return invalid(path + ".required", "names of properties", name);
    }
  }
  if (schema.contains("additionalProperties") && !schema["additionalProperties"].is_boolean()) {
    return unsupported(path + ".additionalProperties", "a schema");
  }
  return shape;
}

Result<JsonShape> read_array(const Json& schema, const std::string& path, int depth) {
  FASTVLM_RETURN_IF_ERROR(check_keywords(schema, path, {"items", "minItems", "maxItems"}));
  if (!schema.contains("items")) return unsupported(path, "an array without \"items\"");
  JsonShape shape;
  shape.kind = JsonShape::Kind::kArray;
  FASTVLM_ASSIGN(JsonShape items, read_shape(schema["items"], path + ".items", depth + 1));
  shape.parts.push_back(std::move(items));
  FASTVLM_ASSIGN(const std::optional<size_t> least, count(schema, "minItems", path));
  FASTVLM_ASSIGN(const std::optional<size_t> most, count(schema, "maxItems", path));
  shape.most_items = most.value_or(shape.most_items);
  shape.least_items = std::max(least.value_or(0), std::min(shape.most_items, size_t{1}));
  if (shape.least_items <= shape.most_items) return shape;
  return invalid(path + ".minItems", cat("at most maxItems (", shape.most_items, ")"),
                 schema["minItems"]);
}

Result<JsonShape> read_string(const Json& schema, const std::string& path) {
  FASTVLM_RETURN_IF_ERROR(check_keywords(schema, path, {"maxLength", "enum"}));
  JsonShape shape;
  shape.kind = JsonShape::Kind::kString;
  FASTVLM_ASSIGN(shape.most_characters, count(schema, "maxLength", path));
  if (!schema.contains("enum")) return shape;
  const Json& list = schema["enum"];
  if (shape.most_characters) return unsupported(path, "\"enum\" with \"maxLength\"");
  if (!list.is_array() || list.empty() || list.size() > kMostChoices) {
    return invalid(path + ".enum", cat("a list of 1 to ", kMostChoices, " strings"), list);
  }
  for (const Json& choice : list) {
    if (!choice.is_string()) return invalid(path + ".enum", "strings", choice);
    const std::string text = choice.get<std::string>();
    if (std::find(shape.choices.begin(), shape.choices.end(), text) == shape.choices.end()) {
      shape.choices.push_back(text);
    }
  }
  return shape;
}

Result<JsonShape> read_shape(const Json& schema, const std::string& path, int depth) {
  if (!schema.is_object()) return invalid(path, "an object", schema);
  if (depth > kDeepest) return unsupported(path, cat("nesting deeper than ", kDeepest));
  const Json type = schema.value("type", Json(schema.contains("enum") ? "string" : ""));
  if (!type.is_string()) return unsupported(path + ".type", "a list of types");
  const std::string name = type.get<std::string>();
  if (name == "object") return read_object(schema, path, depth);
  if (name == "array") return read_array(schema, path, depth);
  if (name == "string") return read_string(schema, path);
  FASTVLM_RETURN_IF_ERROR(check_keywords(schema, path, {}));
  JsonShape shape;
  if (name == "number") shape.kind = JsonShape::Kind::kNumber;
  if (name == "integer") shape.kind = JsonShape::Kind::kInteger;
  if (name == "boolean") shape.kind = JsonShape::Kind::kBoolean;
  if (shape.kind != JsonShape::Kind::kObject) return shape;
  return unsupported(
      path, name.empty() ? "a schema without \"type\"" : cat("\"type\": \"", excerpt(name), "\""));
}

}  // namespace

Result<JsonSchema> parse_json_schema(std::string_view text, const std::string& file) {
  const Json document = Json::parse(text, nullptr, false);
  if (document.is_discarded()) {
    return error(Code::kInvalid, cat(file, ": expected JSON, found something that does not parse"),
                 "give a file with a JSON schema");
  }
  JsonSchema schema;
  schema.name = std::filesystem::path(file).stem().string();
  schema.sha256 = sha256_hex(text);
  FASTVLM_ASSIGN(schema.shape, read_shape(document, file + ": $", 0));
  schema.text = document.dump();
  return schema;
}

std::string json_schema_prompt(const JsonSchema& schema) {
  return cat("Describe the image as JSON that fits this schema:\n", schema.text);
}

}  // namespace fastvlm
