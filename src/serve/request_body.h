// SPDX-License-Identifier: Apache-2.0
// What comes in the body of a request, as strangers send it: JSON, forms with files, pictures as
// text. Goals: bounded memory whatever comes, one clear error. Non-goals: files of this machine.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

// A body that is one JSON object of at most 20,000 values, 32 deep. kInvalid, kLimit.
Result<nlohmann::ordered_json> parse_request_json(std::string_view body);

// Typed access to the fields of an object of a request. An error names the field as a path
// ("messages[0].content"), and `param`, shared by all of a request, is set to it. A field that is
// null counts as absent.
class RequestFields {
 public:
  using Json = nlohmann::ordered_json;

  RequestFields(const Json& object, std::string path, std::string& param)
      : object_(object), path_(std::move(path)), param_(param) {}

  const Json* find(const char* key) const;  // null when absent
  Result<std::optional<double>> number(const char* key, double lowest, double highest) const;
  Result<std::optional<int64_t>> integer(const char* key, int64_t lowest, int64_t highest) const;
  Result<std::optional<bool>> boolean(const char* key) const;
  Result<std::optional<std::string>> text(const char* key) const;

  // kInvalid: "temperature: expected a number from 0 to 2, found "hot"".
  Status wrong(const char* key, const std::string& expected) const;
  // The same about anything: "messages[0].role: REASON".
  Status refuse(const char* key, const std::string& reason, const std::string& hint = "") const;
  std::string path_of(const char* key) const;

 private:
  const Json& object_;
  std::string path_;  // of the object; empty: the request itself
  std::string& param_;
};

// One of the two is empty.
struct PictureSource {
  std::string bytes;    // of its file
  std::string address;  // https:, to be fetched if the server may (picture_fetch.h)
};

// The bytes behind "data:image/jpeg;base64,…" and, with `bare`, of base64 alone; or an address.
// kInvalid; what names another place is refused as kUnsupported.
Result<PictureSource> picture_source(std::string_view text, bool bare);

struct FormPart {
  std::string name;
  std::string filename;    // the last part of what was sent
  std::string_view value;  // in the body
};

// The parts of a multipart/form-data body (RFC 7578); at most 32.
Result<std::vector<FormPart>> parse_form(std::string_view body, std::string_view content_type);

}  // namespace fastvlm
