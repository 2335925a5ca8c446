// SPDX-License-Identifier: Apache-2.0
#include "serve/answers.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string event(const Json& json) {
  return cat("data: ", dumped(json), "\n\n");
}

Json or_null(std::string_view text) {
  return text.empty() ? Json() : Json(text);
}

// OpenAI's clients know "stop" and "length"; an answer that only repeated itself has ended.
std::string_view openai_reason(FinishReason finish) {
  return finish == FinishReason::kLength ? "length" : "stop";
}

Json usage_json(const Timings& timings) {
  return {{"prompt_tokens", timings.prompt_tokens},
          {"completion_tokens", timings.answer_tokens},
          {"total_tokens", timings.prompt_tokens + timings.answer_tokens},
          {"prompt_tokens_details", {{"cached_tokens", timings.prompt_tokens_kept}}}};
}

Json model_object(std::string_view model, int64_t created) {
  return {{"id", model}, {"object", "model"}, {"created", created}, {"owned_by", "fastvlm"}};
}

Json chunk(const std::string& id, int64_t created, const std::string& model, Json choices,
           bool usage) {
  Json object = {{"id", id},
                 {"object", "chat.completion.chunk"},
                 {"created", created},
                 {"model", model},
                 {"choices", std::move(choices)}};
  if (usage) object["usage"] = nullptr;
  return object;
}

Json choice(Json delta, Json finish) {
  return Json::array({{{"index", 0},
                       {"delta", std::move(delta)},
                       {"logprobs", nullptr},
                       {"finish_reason", std::move(finish)}}});
}

}  // namespace

std::string error_json(int status, std::string_view message, std::string_view param,
                       std::string_view code) {
  const char* type = status == 429   ? "rate_limit_error"
                     : status >= 500 ? "server_error"
                                     : "invalid_request_error";
  return dumped({{"error",
                  {{"message", message},
                   {"type", type},
                   {"param", or_null(param)},
                   {"code", or_null(code)}}}});
}

HttpAnswer error_answer(int status, std::string_view message, std::string_view param,
                        std::string_view code) {
  return {status, "application/json", error_json(status, message, param, code)};
}

std::string sentence(const Status& status) {
  return status.hint.empty() ? status.message : cat(status.message, "; ", status.hint);
}

std::string Completion::whole(std::string_view text, FinishReason finish,
                              const Timings& timings) const {
  return dumped(
      {{"id", id_},
       {"object", "chat.completion"},
       {"created", created_},
       {"model", model_},
       {"choices",
        Json::array({{{"index", 0},
                      {"message", {{"role", "assistant"}, {"content", text}, {"refusal", nullptr}}},
                      {"logprobs", nullptr},
                      {"finish_reason", openai_reason(finish)}}})},
       {"usage", usage_json(timings)}});
}

std::string Completion::first_event(bool usage) const {
  return event(chunk(id_, created_, model_,
                     choice({{"role", "assistant"}, {"content", ""}}, nullptr), usage));
}

std::string Completion::text_event(std::string_view piece, bool usage) const {
  return event(chunk(id_, created_, model_, choice({{"content", piece}}, nullptr), usage));
}

std::string Completion::finish_event(FinishReason finish, bool usage) const {
  return event(chunk(id_, created_, model_, choice(Json::object(), openai_reason(finish)), usage));
}

std::string Completion::usage_event(const Timings& timings) const {
  Json object = chunk(id_, created_, model_, Json::array(), true);
  object["usage"] = usage_json(timings);
  return event(object);
}

std::string Completion::error_event(std::string_view error_object) {
  return cat("data: ", error_object, "\n\n");
}

std::string Completion::done_event() {
  return "data: [DONE]\n\n";
}

std::string models_json(std::string_view model, int64_t created) {
  return dumped({{"object", "list"}, {"data", Json::array({model_object(model, created)})}});
}

std::string model_json(std::string_view model, int64_t created) {
  return dumped(model_object(model, created));
}

}  // namespace fastvlm
