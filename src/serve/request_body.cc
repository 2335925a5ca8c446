// SPDX-License-Identifier: Apache-2.0
#include "serve/request_body.h"

#include <cmath>

#include "base/base64.h"
#include "base/strings.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kDeepest = 32;
constexpr size_t kMostValues = 20'000;
constexpr size_t kMostParts = 32;
constexpr size_t kLongestPartHeader = 4096;

// The value of a parameter in `form-data; name="image"; filename="a.jpg"`; none: not there.
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  for (size_t at = header.find(';'); at != std::string_view::npos;) {
    std::string_view rest = trimmed(header.substr(at + 1));
    const size_t equals = rest.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string key = lower_case(trimmed(rest.substr(0, equals)));
    rest.remove_prefix(equals + 1);
    std::string value;
    size_t used = 0;
    if (rest.starts_with('"')) {
      for (used = 1; used < rest.size() && rest[used] != '"'; ++used) {
        if (rest[used] == '\\' && used + 1 < rest.size()) ++used;
        value += rest[used];
      }
      if (used == rest.size()) return std::nullopt;  // the quote is never closed
    } else {
      used = std::min(rest.find(';'), rest.size());
      value = trimmed(rest.substr(0, used));
    }
    if (key == name) return value;
    const size_t next = rest.find(';', used);
    if (next == std::string_view::npos) return std::nullopt;
    at = static_cast<size_t>(rest.data() - header.data()) + next;
  }
  return std::nullopt;
}

// Reads the header lines of a part; kInvalid without a name.
Result<FormPart> part_of(std::string_view head, std::string_view value) {
  constexpr std::string_view kKey = "content-disposition:";
  for (const std::string& line : split(head, '\n')) {
    if (!starts_with_ignoring_case(line, kKey)) continue;
    const std::string_view disposition = trimmed(std::string_view(line).substr(kKey.size()));
    const auto name = parameter(disposition, "name");
    if (!name) break;
    std::string file = parameter(disposition, "filename").value_or("");
    file = file.substr(file.find_last_of("/\\") + 1);  // npos + 1 is 0
    return FormPart{with_replacements(*name), with_replacements(file), value};
  }
  return error(Code::kInvalid, "form: a part has no name",
               "send each as Content-Disposition: form-data; name=\"…\"");
}

Status no_form(const std::string& what) {
  return error(Code::kInvalid, cat("form: ", what), "send multipart/form-data, as `curl -F` does");
}

}  // namespace

Result<Json> parse_request_json(std::string_view body) {
  struct TooLarge {};  // thrown, because even what is dropped piles up while the parser goes on
  size_t events = 0;
  const auto guard = [&](int depth, Json::parse_event_t /*event*/, Json& /*parsed*/) {
    if (depth > kDeepest || ++events > kMostValues) throw TooLarge();
    return true;
  };
  Json json;
  try {
    json = Json::parse(body, guard, false);
  } catch (const TooLarge&) {
    return error(Code::kLimit,
                 cat("the body holds more than ", kMostValues, " values, or is more than ",
                     kDeepest, " levels deep"),
                 "send less");
  }
  if (!json.is_object()) {
    return error(
        Code::kInvalid,
        json.is_discarded() ? "the body is not valid JSON" : "the body is JSON, but no object",
        "send an object, as in docs/SERVER.md");
  }
  return json;
}

const Json* RequestFields::find(const char* key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

Result<std::optional<double>> RequestFields::number(const char* key, double lowest,
                                                    double highest) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<double>();
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (number >= lowest && number <= highest) return std::optional(number);
  return wrong(key, cat("a number from ", lowest, " to ", highest));
}

Result<std::optional<int64_t>> RequestFields::integer(const char* key, int64_t lowest,
                                                      int64_t highest) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<int64_t>();
  const bool whole = value->is_number_integer() &&
                     !(value->is_number_unsigned() && value->get<uint64_t>() > INT64_MAX);
  const int64_t number = whole ? value->get<int64_t>() : 0;
  if (whole && number >= lowest && number <= highest) return std::optional(number);
  return wrong(key, cat("a whole number from ", lowest, " to ", highest));
}

Result<std::optional<bool>> RequestFields::boolean(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<bool>();
  if (!value->is_boolean()) return wrong(key, "true or false");
  return std::optional(value->get<bool>());
}

Result<std::optional<std::string>> RequestFields::text(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return wrong(key, "a text");
  return std::optional(value->get<std::string>());
}

Status RequestFields::wrong(const char* key, const std::string& expected) const {
  const Json* value = find(key);
  const std::string found = value == nullptr         ? "nothing"
                            : value->is_structured() ? value->type_name()
                                                     : excerpt(value->dump());
  return refuse(key, cat("expected ", expected, ", found ", found));
}

Status RequestFields::refuse(const char* key, const std::string& reason,
                             const std::string& hint) const {
  param_ = path_of(key);
  return error(Code::kInvalid, cat(param_, ": ", reason), hint);
}

std::string RequestFields::path_of(const char* key) const {
  return path_.empty() ? std::string(key) : cat(path_, ".", key);
}

Result<PictureSource> picture_source(std::string_view text, bool bare) {
  constexpr std::string_view kHint = "send the picture itself: data:image/jpeg;base64,…";
  if (starts_with_ignoring_case(text, "https:")) return PictureSource{{}, std::string(text)};
  if (!starts_with_ignoring_case(text, "data:")) {
    const size_t colon = text.substr(0, 16).find(':');
    if (colon != std::string_view::npos) {
      return error(Code::kUnsupported,
                   cat("expected a data: URI, found ", excerpt(text.substr(0, colon + 1)),
                       " (no request names a file of the server)"),
                   std::string(kHint));
    }
    if (!bare) {
      return error(Code::kInvalid, cat("expected a data: URI, found \"", excerpt(text), "\""),
                   std::string(kHint));
    }
  } else {
    const size_t comma = text.find(',');
    const std::string head = lower_case(text.substr(0, std::min(comma, size_t{200})));
    if (comma == std::string_view::npos || !head.ends_with(";base64")) {
      return error(Code::kInvalid, cat("expected data:…;base64,…, found ", excerpt(head)),
                   std::string(kHint));
    }
    text.remove_prefix(comma + 1);
  }
  std::optional<std::string> bytes = from_base64(text);
  if (!bytes) {
    return error(Code::kInvalid, "the base64 of the picture is damaged",
                 "send the output of `base64 -w0 FILE`");
  }
  if (bytes->empty()) return error(Code::kInvalid, "the picture is empty", std::string(kHint));
  return PictureSource{std::move(*bytes), {}};
}

Result<std::vector<FormPart>> parse_form(std::string_view body, std::string_view content_type) {
  const auto boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > 70) {
    return no_form("expected a boundary of 1 to 70 characters in Content-Type");
  }
  const std::string mark = cat("--", *boundary);
  const std::string next = cat("\r\n", mark);
  if (!body.starts_with(mark)) return no_form("the body does not begin with its boundary");
  std::vector<FormPart> parts;
  body.remove_prefix(mark.size());
  while (!body.starts_with("--")) {
    const size_t line_end = body.find("\r\n");
    if (line_end == std::string_view::npos || !trimmed(body.substr(0, line_end)).empty()) {
      return no_form("a boundary is not followed by a line end");
    }
    body.remove_prefix(line_end);
    const size_t head_end = body.substr(0, kLongestPartHeader).find("\r\n\r\n");
    if (head_end == std::string_view::npos) return no_form("a part has no end of its header");
    const size_t end = body.find(next, head_end + 2);
    if (end == std::string_view::npos) return no_form("the last boundary is missing");
    if (parts.size() == kMostParts) return no_form(cat("more than ", kMostParts, " parts"));
    const size_t begin = std::min(head_end + 4, end);
    FASTVLM_ASSIGN(FormPart part,
                   part_of(body.substr(0, head_end), body.substr(begin, end - begin)));
    parts.push_back(std::move(part));
    body.remove_prefix(end + next.size());
  }
  return parts;
}

}  // namespace fastvlm
