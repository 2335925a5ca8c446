// SPDX-License-Identifier: Apache-2.0
#include "serve/caption_request.h"

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "serve/request_body.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;
using Names = std::set<std::string, std::less<>>;

const Names kTextFields = {"name", "prompt", "tags"};

bool is_type(std::string_view content_type, std::string_view wanted) {
  return lower_case(trimmed(content_type.substr(0, content_type.find(';')))) == wanted;
}

// A body as fields and the bytes of its picture.
struct Body {
  Json fields = Json::object();
  std::optional<std::string> picture;
};

// In a form numbers and objects stand as text too.
Result<Body> read_form(std::string_view text, std::string_view content_type, std::string& param) {
  FASTVLM_ASSIGN(const std::vector<FormPart> parts, parse_form(text, content_type));
  Body body;
  for (const FormPart& part : parts) {
    if (part.name == "image") {
      body.picture = std::string(part.value);
      if (!part.filename.empty() && !body.fields.contains("name")) {
        body.fields["name"] = part.filename;
      }
    } else if (kTextFields.contains(part.name)) {
      body.fields[part.name] = with_replacements(part.value);
    } else {
      // A number or true as an object of one value, so that the limits hold for it as well.
      const auto value = parse_request_json(cat("{\"value\":", part.value, "}"));
      if (!value.ok()) {
        param = part.name;
        return error(Code::kInvalid, cat(part.name, ": expected a number, true, false or JSON"),
                     "");
      }
      body.fields[part.name] = value->value("value", Json());
    }
  }
  return body;
}

Result<Body> read_body(std::string_view text, std::string_view content_type, const Names& known,
                       std::string& param) {
  Body body;
  if (is_form(content_type)) {
    FASTVLM_ASSIGN(body, read_form(text, content_type, param));
  } else {
    FASTVLM_ASSIGN(body.fields, parse_request_json(text));
  }
  for (const auto& [name, unused] : body.fields.items()) {
    if (known.contains(name)) continue;
    param = name;
    return error(Code::kInvalid, cat(excerpt(name), ": no such field"),
                 cat("known are: ", joined(known)));
  }
  return body;
}

Status read_picture(Body& body, const RequestFields& fields, PictureRequest& request) {
  FASTVLM_ASSIGN(const auto name, fields.text("name"));
  if (name && !name->empty()) request.name = *name;
  if (body.picture) {
    if (body.picture->empty()) return fields.refuse("image", "the picture is empty");
    request.picture.bytes = std::move(*body.picture);
    return {};
  }
  FASTVLM_ASSIGN(const auto text, fields.text("image"));
  if (!text) {
    return fields.refuse("image", "expected a picture, found none",
                         "send a data: URI or base64 in JSON, or a file as `curl -F image=@FILE`");
  }
  auto source = picture_source(*text, true);
  if (!source.ok()) return fields.refuse("image", source.status().message, source.status().hint);
  request.picture = std::move(*source);
  return {};
}

Status read_tags(const RequestFields& fields, CaptionTask& task) {
  const Json* tags = fields.find("tags");
  if (tags == nullptr || *tags == "auto") return {};
  task.detect = false;
  if (*tags == "none") return {};
  task.tagged = true;
  const auto add = [&](const Json& text) -> Status {
    if (!text.is_string()) return fields.wrong("tags", "auto, none, or names of objects");
    auto parsed = parse_tag_list(text.get_ref<const std::string&>());
    if (!parsed.ok()) {
      return fields.refuse("tags", parsed.status().message, parsed.status().hint);
    }
    std::move(parsed->begin(), parsed->end(), std::back_inserter(task.caption.tags));
    return {};
  };
  if (!tags->is_array()) return add(*tags);
  for (const Json& each : *tags) FASTVLM_RETURN_IF_ERROR(add(each));
  return {};
}

Status read_schemas(const RequestFields& fields, CaptionRequest& caption, std::string& param) {
  const Json* sections = fields.find("schema");
  const Json* shape = fields.find("json_schema");
  FASTVLM_ASSIGN(const auto free, fields.boolean("free"));
  caption.free = free.value_or(false);
  if (int{sections != nullptr} + int{shape != nullptr} + int{caption.free} > 1) {
    return fields.refuse("schema", "expected one of schema, json_schema and free, found more");
  }
  if (sections != nullptr) {
    param = "schema";
    FASTVLM_ASSIGN(CaptionSchema schema, parse_caption_schema(sections->dump(), "schema"));
    caption.prompt = schema_prompt(schema);
    caption.schema = std::make_shared<const CaptionSchema>(std::move(schema));
  }
  if (shape != nullptr) {
    param = "json_schema";
    FASTVLM_ASSIGN(JsonSchema schema, parse_json_schema(shape->dump(), "json_schema"));
    caption.prompt = json_schema_prompt(schema);
    caption.json_schema = std::make_shared<const JsonSchema>(std::move(schema));
  }
  return {};
}

Status read_sampling(const RequestFields& fields, const TokenLimits& limits,
                     CaptionRequest& caption) {
  SamplingOptions& sampling = caption.sampling;
  FASTVLM_ASSIGN(const auto temperature, fields.number("temperature", 0, 100));
  FASTVLM_ASSIGN(const auto top_p, fields.number("top_p", 0, 1));
  FASTVLM_ASSIGN(const auto top_k, fields.integer("top_k", 0, 1 << 30));
  FASTVLM_ASSIGN(const auto seed, fields.integer("seed", 0, INT64_MAX));
  FASTVLM_ASSIGN(const auto tokens, fields.integer("max_tokens", 1, limits.most));
  sampling.temperature = temperature.value_or(0);
  sampling.top_p = top_p.value_or(1);
  sampling.top_k = static_cast<int>(top_k.value_or(0));
  sampling.seed = static_cast<uint64_t>(seed.value_or(0));
  caption.max_tokens = tokens.value_or(limits.usual);
  return {};
}

}  // namespace

Result<CaptionTask> parse_caption_request(std::string_view text, std::string_view content_type,
                                          const TokenLimits& limits, std::string& param) {
  static const Names kKnown = {"image",       "name",       "prompt",        "tags",  "schema",
                               "json_schema", "free",       "temperature",   "top_p", "top_k",
                               "seed",        "max_tokens", "verify_objects"};
  FASTVLM_ASSIGN(Body body, read_body(text, content_type, kKnown, param));
  const RequestFields fields(body.fields, "", param);
  CaptionTask task;
  FASTVLM_RETURN_IF_ERROR(read_sampling(fields, limits, task.caption));
  FASTVLM_RETURN_IF_ERROR(read_schemas(fields, task.caption, param));
  FASTVLM_ASSIGN(const auto prompt, fields.text("prompt"));
  if (prompt && !trimmed(*prompt).empty()) {
    task.caption.prompt = named_prompt(*prompt).value_or(*prompt);
  }
  FASTVLM_RETURN_IF_ERROR(read_tags(fields, task));
  FASTVLM_ASSIGN(const auto verify, fields.boolean("verify_objects"));
  task.verify_objects = verify.value_or(false);
  FASTVLM_RETURN_IF_ERROR(read_picture(body, fields, task));
  param.clear();
  return task;
}

Result<PictureRequest> parse_picture_request(std::string_view text, std::string_view content_type,
                                             std::string& param) {
  static const Names kKnown = {"image", "name"};
  FASTVLM_ASSIGN(Body body, read_body(text, content_type, kKnown, param));
  PictureRequest request;
  FASTVLM_RETURN_IF_ERROR(read_picture(body, RequestFields(body.fields, "", param), request));
  param.clear();
  return request;
}

bool is_form(std::string_view content_type) {
  return is_type(content_type, "multipart/form-data");
}

bool is_json(std::string_view content_type) {
  return is_type(content_type, "application/json");
}

}  // namespace fastvlm
