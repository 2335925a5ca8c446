// SPDX-License-Identifier: Apache-2.0
#include "formats/json_fields.h"

#include "base/mapped_file.h"
#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr size_t kFileLimit = size_t{16} << 20;  // bytes
constexpr int kDeepest = 64;
constexpr char kHint[] = "restore the file from the checkpoint's source";

// A value as it stands in the file, shortened for a message.
std::string shown(const nlohmann::json& value) {
  std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

template <typename Json>
Result<Json> read_object(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const std::string text, read_text_file(path, kFileLimit));
  bool too_deep = false;
  const auto guard = [&](int depth, typename Json::parse_event_t /*event*/, Json& /*parsed*/) {
    if (depth > kDeepest) too_deep = true;
    return !too_deep;  // false drops the value, so that nothing piles up
  };
  Json json = Json::parse(text, guard, false);
  if (too_deep || !json.is_object()) {
    const char* fault = too_deep              ? "is nested too deeply"
                        : json.is_discarded() ? "is not valid JSON"
                                              : "is no JSON object";
    return error(Code::kInvalid, cat(path.string(), ": ", fault), kHint);
  }
  return json;
}

}  // namespace

Result<nlohmann::json> read_json_object(const std::filesystem::path& path) {
  return read_object<nlohmann::json>(path);
}

Result<nlohmann::ordered_json> read_ordered_json_object(const std::filesystem::path& path) {
  return read_object<nlohmann::ordered_json>(path);
}

const nlohmann::json* JsonFields::find(const char* key) const {
  for (const nlohmann::json* object : objects_) {
    const auto found = object->find(key);
    if (found != object->end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

const nlohmann::json* JsonFields::find_object(const char* key) const {
  const nlohmann::json* value = find(key);
  return value != nullptr && value->is_object() ? value : nullptr;
}

Result<std::optional<int64_t>> JsonFields::find_integer(const char* key, int64_t lowest,
                                                        int64_t highest) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::optional<int64_t>();
  const bool fits = value->is_number_integer() &&
                    !(value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX);
  if (!fits || value->get<int64_t>() < lowest || value->get<int64_t>() > highest) {
    return wrong(key, cat("an integer from ", lowest, " to ", highest));
  }
  return std::optional<int64_t>(value->get<int64_t>());
}

Result<std::optional<double>> JsonFields::find_number(const char* key, double lowest,
                                                      double highest) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::optional<double>();
  if (!value->is_number() || !(value->get<double>() >= lowest && value->get<double>() <= highest)) {
    return wrong(key, cat("a number from ", lowest, " to ", highest));
  }
  return std::optional<double>(value->get<double>());
}

Result<std::optional<bool>> JsonFields::find_bool(const char* key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return wrong(key, "true or false");
  return std::optional<bool>(value->get<bool>());
}

Result<std::optional<std::string>> JsonFields::find_string(const char* key) const {
  const nlohmann::json* value = find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong(key, "a text");
  return std::optional<std::string>(value->get<std::string>());
}

Result<int64_t> JsonFields::integer(const char* key, int64_t lowest, int64_t highest) const {
  FASTVLM_ASSIGN(const std::optional<int64_t> value, find_integer(key, lowest, highest));
  if (!value) return missing(key, cat("an integer from ", lowest, " to ", highest));
  return *value;
}

Status JsonFields::wrong(const char* key, const std::string& expected) const {
  const nlohmann::json* value = find(key);
  return error(Code::kInvalid,
               cat(file_, ": key `", key, "`: expected ", expected, ", found ",
                   value == nullptr ? "nothing" : shown(*value)),
               kHint);
}

Status JsonFields::missing(const char* key, const std::string& expected) const {
  return error(Code::kInvalid, cat(file_, ": key `", key, "` is missing; expected ", expected),
               kHint);
}

}  // namespace fastvlm
