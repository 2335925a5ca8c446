// SPDX-License-Identifier: Apache-2.0
#include "caption/tags.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr const char* kForms = "a tags file is a JSON list or one tag a line";
constexpr std::array<std::string_view, 3> kPositions = {"left", "center", "right"};

bool has_control(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

Result<Tag> tag_of_object(const json& item, const std::string& where, int width) {
  if (!item.is_object() || !item.contains("label") || !item["label"].is_string()) {
    return error(Code::kInvalid, cat(where, ": expected an object with a text \"label\""),
                 "write it as {\"label\": \"dog\", \"box_xyxy\": [x0, y0, x1, y1]}");
  }
  Tag tag;
  const std::string label = item["label"].get<std::string>();
  tag.label = trimmed(label);
  if (tag.label.empty() || has_control(tag.label)) {
    return error(Code::kInvalid, cat(where, ": expected one line of text as label"),
                 "write the name of the object alone");
  }
  if (const auto box = item.find("box_xyxy"); box != item.end()) {
    const bool numbers =
        box->is_array() && box->size() == 4 &&
        std::all_of(box->begin(), box->end(), [](const json& side) { return side.is_number(); });
    if (!numbers) {
      return error(Code::kInvalid,
                   cat(where, ".box_xyxy: expected four numbers, found ",
                       box->is_array() ? cat("a list of ", box->size()) : box->type_name()),
                   "boxes are [x0, y0, x1, y1] in pixels of the upright image");
    }
    const double center = ((*box)[0].get<double>() + (*box)[2].get<double>()) / 2;
    tag.position = horizontal_third(center, width);
  }
  if (const auto confidence = item.find("confidence"); confidence != item.end()) {
    if (!confidence->is_number() || !(confidence->get<double>() >= 0.0) ||
        !(confidence->get<double>() <= 1.0)) {
      return error(Code::kInvalid, cat(where, ".confidence: expected a number from 0 to 1"),
                   "leave the field out, or mend it");
    }
    tag.confidence = confidence->get<float>();
  }
  return tag;
}

Result<json> parse_json(std::string_view text, const std::string& name) {
  try {
    return json::parse(text);
  } catch (const json::parse_error& fault) {
    const size_t byte =
        std::min(fault.byte, text.size() + 1);  // counted from 1; past the end there
    if (byte > text.size()) {
      return error(Code::kInvalid, cat(name, ": the JSON ends too early, after byte ", text.size()),
                   "the file is cut short; write it again");
    }
    const size_t at = std::max<size_t>(byte, 1) - 1;
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    return error(Code::kInvalid,
                 cat(name, ": line ", line, ", byte ", byte, ": no JSON from here: \"",
                     printable(excerpt(text.substr(at, 40))), "\""),
                 kForms);
  } catch (const json::exception&) {  // a number too large
    return error(Code::kInvalid, cat(name, ": expected JSON, found a number too large for it"),
                 kForms);
  }
}

Result<std::vector<Tag>> tags_of_json(const json& document, const std::string& name, int width) {
  const json* list = &document;
  std::string path = name;
  for (const char* key : {"objects", "detections", "tags"}) {
    if (document.is_object() && document.contains(key)) {
      list = &document[key];
      path = cat(name, ": ", key);
      break;
    }
  }
  if (!list->is_array()) {
    return error(Code::kInvalid,
                 cat(path, ": expected a list of objects, found ", list->type_name()),
                 "give a list, or an object with \"objects\", \"detections\" or \"tags\"");
  }
  std::vector<Tag> tags;
  for (size_t i = 0; i < list->size(); ++i) {
    FASTVLM_ASSIGN(Tag tag, tag_of_object((*list)[i], cat(path, "[", i, "]"), width));
    tags.push_back(std::move(tag));
  }
  std::stable_sort(tags.begin(), tags.end(), [](const Tag& a, const Tag& b) {
    return a.confidence.value_or(0.0F) > b.confidence.value_or(0.0F);
  });
  return tags;
}

}  // namespace

std::string tag_text(const Tag& tag) {
  const std::string number = tag.count > 1 ? cat(" x", tag.count) : "";
  return tag.position.empty() ? tag.label + number
                              : cat(tag.label, " (", tag.position, ")", number);
}

std::string_view horizontal_third(double center_x, double width) {
  if (center_x < width / 3) return kPositions[0];
  return center_x < width * 2 / 3 ? kPositions[1] : kPositions[2];
}

Result<Tag> parse_tag(std::string_view text) {
  std::string_view rest = trimmed(text);
  if (rest.starts_with("•")) rest = trimmed(rest.substr(std::string_view("•").size()));
  Tag tag;
  for (const std::string_view position : kPositions) {
    const std::string ending = cat("(", position, ")");
    if (!rest.ends_with(ending)) continue;
    tag.position = position;
    rest = trimmed(rest.substr(0, rest.size() - ending.size()));
  }
  if (rest.empty() || has_control(rest)) {
    return error(Code::kUsage,
                 cat("tags: expected a name, found \"", printable(excerpt(trimmed(text))), "\""),
                 "write tags as \"person (left), dog\"");
  }
  tag.label = rest;
  return tag;
}

Result<std::vector<Tag>> parse_tag_list(std::string_view text) {
  std::vector<Tag> tags;
  for (const std::string& part : split(text, ',')) {
    FASTVLM_ASSIGN(Tag tag, parse_tag(part));
    tags.push_back(std::move(tag));
  }
  return tags;
}

Result<std::vector<Tag>> parse_tags_file(std::string_view text, const std::string& name,
                                         int width) {
  if (const size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return error(Code::kInvalid, cat(name, ": byte ", zero + 1, " is zero, so this is no text"),
                 kForms);
  }
  const std::string_view body = trimmed(text);
  if (body.starts_with('[') || body.starts_with('{')) {
    FASTVLM_ASSIGN(const json document, parse_json(text, name));
    return tags_of_json(document, name, width);
  }
  std::vector<Tag> tags;
  size_t number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    if (trimmed(line).empty()) continue;
    auto tag = parse_tag(line);
    if (!tag.ok()) {
      return error(Code::kInvalid, cat(name, ": line ", number, ": ", tag.status().message),
                   kForms);
    }
    tags.push_back(std::move(*tag));
  }
  return tags;
}

}  // namespace fastvlm
