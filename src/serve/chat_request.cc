// SPDX-License-Identifier: Apache-2.0
#include "serve/chat_request.h"

#include <random>

#include "base/strings.h"
#include "serve/request_body.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostStops = 4;  // as OpenAI
constexpr size_t kLongestStop = 200;
constexpr std::string_view kOneQuestion =
    "send one picture and one question; this model keeps no conversation";

// What all messages say together.
struct Question {
  std::string text;
  std::vector<PictureSource> pictures;

  void add(std::string_view more) {
    if (trimmed(more).empty()) return;
    text += cat(text.empty() ? "" : "\n\n", more);
  }
};

Status read_part(const Json& part, const std::string& path, bool system, Question& question,
                 std::string& param) {
  param = path;
  if (!part.is_object()) return error(Code::kInvalid, cat(path, ": expected an object"), "");
  const RequestFields fields(part, path, param);
  FASTVLM_ASSIGN(const auto type, fields.text("type"));
  if (type == "text") {
    FASTVLM_ASSIGN(const auto text, fields.text("text"));
    if (!text) return fields.wrong("text", "a text");
    question.add(*text);
    return {};
  }
  if (type != "image_url" || system) {
    return fields.wrong("type", system ? "text" : "text or image_url");
  }
  const Json* picture = fields.find("image_url");
  if (picture == nullptr || !picture->is_object()) return fields.wrong("image_url", "an object");
  const RequestFields inside(*picture, fields.path_of("image_url"), param);
  FASTVLM_ASSIGN(const auto url, inside.text("url"));
  if (!url) return inside.wrong("url", "a data: URI");
  if (!question.pictures.empty()) {
    return fields.refuse("image_url", "a second picture", std::string(kOneQuestion));
  }
  auto picture_there = picture_source(*url, false);
  if (!picture_there.ok()) {
    return inside.refuse("url", picture_there.status().message, picture_there.status().hint);
  }
  question.pictures.push_back(std::move(*picture_there));
  return {};
}

Status read_message(const Json& message, const std::string& path, Question& question,
                    std::string& param) {
  param = path;
  if (!message.is_object()) return error(Code::kInvalid, cat(path, ": expected an object"), "");
  const RequestFields fields(message, path, param);
  FASTVLM_ASSIGN(const auto role, fields.text("role"));
  const bool system = role == "system" || role == "developer";
  if (!system && role != "user") {
    const Status wrong = fields.wrong("role", "system, developer or user");
    return error(wrong.code, wrong.message, std::string(kOneQuestion));
  }
  const Json* content = fields.find("content");
  if (content != nullptr && content->is_string()) {
    question.add(content->get<std::string>());
    return {};
  }
  if (content == nullptr || !content->is_array()) {
    return fields.wrong("content", "a text or a list of parts");
  }
  for (size_t i = 0; i < content->size(); ++i) {
    FASTVLM_RETURN_IF_ERROR(read_part((*content)[i], cat(fields.path_of("content"), "[", i, "]"),
                                      system, question, param));
  }
  return {};
}

Status read_messages(const RequestFields& fields, ChatRequest& request, std::string& param) {
  const Json* messages = fields.find("messages");
  if (messages == nullptr || !messages->is_array()) {
    return fields.wrong("messages", "a list of messages");
  }
  Question question;
  for (size_t i = 0; i < messages->size(); ++i) {
    FASTVLM_RETURN_IF_ERROR(
        read_message((*messages)[i], cat("messages[", i, "]"), question, param));
  }
  if (question.pictures.empty()) {
    return fields.refuse("messages", "expected a part of type image_url, found none",
                         "this model describes pictures; send one as a data: URI");
  }
  request.picture = std::move(question.pictures.front());
  request.caption.prompt = std::string(trimmed(question.text));
  return {};
}

Status read_chat_sampling(const RequestFields& fields, const TokenLimits& limits,
                          CaptionRequest& caption) {
  FASTVLM_ASSIGN(const auto temperature, fields.number("temperature", 0, 2));
  FASTVLM_ASSIGN(const auto top_p, fields.number("top_p", 0, 1));
  FASTVLM_ASSIGN(const auto seed, fields.integer("seed", INT64_MIN, INT64_MAX));
  FASTVLM_ASSIGN(const auto older, fields.integer("max_tokens", 1, limits.most));
  FASTVLM_ASSIGN(const auto tokens, fields.integer("max_completion_tokens", 1, limits.most));
  caption.sampling.temperature = temperature.value_or(0);
  caption.sampling.top_p = top_p.value_or(1);
  if (seed) {
    caption.sampling.seed = static_cast<uint64_t>(*seed);
  } else if (caption.sampling.temperature > 0) {
    caption.sampling.seed = std::random_device()();  // who draws twice expects two answers
  }
  caption.max_tokens = tokens ? *tokens : older.value_or(limits.usual);
  return {};
}

Status read_stop(const RequestFields& fields, std::vector<std::string>& stops) {
  const Json* stop = fields.find("stop");
  if (stop == nullptr) return {};
  const Json list = stop->is_array() ? *stop : Json::array({*stop});
  for (const Json& each : list) {
    const bool good = each.is_string() && !each.get_ref<const std::string&>().empty() &&
                      each.get_ref<const std::string&>().size() <= kLongestStop;
    if (!good || stops.size() == kMostStops) {
      return fields.wrong("stop",
                          cat("up to ", kMostStops, " texts of 1 to ", kLongestStop, " bytes"));
    }
    stops.push_back(each.get<std::string>());
  }
  return {};
}

// What can be asked for and would be missed if it were ignored.
Status refuse_what_is_not_done(const RequestFields& fields) {
  FASTVLM_ASSIGN(const auto answers, fields.integer("n", INT64_MIN, INT64_MAX));
  if (answers.value_or(1) != 1) return fields.wrong("n", "1");
  FASTVLM_ASSIGN(const auto likelihoods, fields.boolean("logprobs"));
  if (likelihoods.value_or(false)) return fields.wrong("logprobs", "false");
  const Json* tools = fields.find("tools");
  if (tools != nullptr && !tools->empty())
    return fields.refuse("tools", "this model calls no tools");
  return {};
}

// Of response_format json_object: the seven sections by name, or one answer.
std::string any_object_schema(bool sections) {
  Json properties = Json::object();
  if (sections) {
    for (const SectionSpec& section : seven_point_schema().sections) {
      properties[section.key] = {{"type", "string"}};
    }
  } else {
    properties["answer"] = {{"type", "string"}};
  }
  return Json{{"type", "object"}, {"properties", std::move(properties)}}.dump();
}

Status read_format(const RequestFields& fields, CaptionRequest& caption, std::string& param) {
  const Json* format = fields.find("response_format");
  std::string type = "text";
  std::string name = "json_object";
  std::string text;
  if (format != nullptr) {
    if (!format->is_object()) return fields.wrong("response_format", "an object");
    const RequestFields inside(*format, "response_format", param);
    FASTVLM_ASSIGN(const auto given, inside.text("type"));
    if (given != "text" && given != "json_object" && given != "json_schema") {
      return inside.wrong("type", "text, json_object or json_schema");
    }
    type = *given;
    if (type == "json_schema") {
      const Json* wrapped = inside.find("json_schema");
      if (wrapped == nullptr || !wrapped->is_object()) {
        return inside.wrong("json_schema", "an object");
      }
      const RequestFields described(*wrapped, "response_format.json_schema", param);
      FASTVLM_ASSIGN(const auto its_name, described.text("name"));
      const Json* schema = described.find("schema");
      if (schema == nullptr) return described.wrong("schema", "a JSON schema");
      name = its_name.value_or("schema");
      text = schema->dump();
    }
  }
  const bool own_question = !caption.prompt.empty();
  if (!own_question) caption.prompt = seven_point_prompt();
  const bool seven_points = caption.prompt == trimmed(seven_point_prompt());
  if (seven_points)
    caption.prompt = seven_point_prompt();  // its sections are made, as in `caption`
  if (type == "text") return {};
  if (type == "json_object") text = any_object_schema(seven_points);
  param = "response_format.json_schema.schema";
  FASTVLM_ASSIGN(JsonSchema schema, parse_json_schema(text, param));
  schema.name = name;
  if (!own_question && type == "json_schema") caption.prompt = json_schema_prompt(schema);
  caption.json_schema = std::make_shared<const JsonSchema>(std::move(schema));
  return {};
}

}  // namespace

Result<ChatRequest> parse_chat_request(std::string_view body, const TokenLimits& limits,
                                       std::string& param) {
  FASTVLM_ASSIGN(const Json json, parse_request_json(body));
  const RequestFields fields(json, "", param);
  ChatRequest request;
  FASTVLM_RETURN_IF_ERROR(fields.text("model").status());
  FASTVLM_RETURN_IF_ERROR(refuse_what_is_not_done(fields));
  FASTVLM_RETURN_IF_ERROR(read_chat_sampling(fields, limits, request.caption));
  FASTVLM_RETURN_IF_ERROR(read_stop(fields, request.stop));
  FASTVLM_ASSIGN(const auto stream, fields.boolean("stream"));
  request.stream = stream.value_or(false);
  if (const Json* options = fields.find("stream_options"); options != nullptr) {
    if (!options->is_object()) return fields.wrong("stream_options", "an object");
    FASTVLM_ASSIGN(const auto usage,
                   RequestFields(*options, "stream_options", param).boolean("include_usage"));
    request.include_usage = usage.value_or(false);
  }
  FASTVLM_RETURN_IF_ERROR(read_messages(fields, request, param));
  FASTVLM_RETURN_IF_ERROR(read_format(fields, request.caption, param));
  param.clear();
  return request;
}

}  // namespace fastvlm
