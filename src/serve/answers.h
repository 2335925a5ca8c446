// SPDX-License-Identifier: Apache-2.0
// What the server says, in the forms of OpenAI's API.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "caption/caption.h"
#include "serve/http_server.h"

namespace fastvlm {

// {"error": {"message", "type", "param", "code"}}; an empty param or code is null.
std::string error_json(int status, std::string_view message, std::string_view param = {},
                       std::string_view code = {});
HttpAnswer error_answer(int status, std::string_view message, std::string_view param = {},
                        std::string_view code = {});
// The message and the hint of a Status as one sentence after the other.
std::string sentence(const Status& status);

// One answer of /v1/chat/completions, whole or in pieces.
class Completion {
 public:
  // `created`: seconds since 1970.
  Completion(std::string id, int64_t created, std::string model)
      : id_(std::move(id)), created_(created), model_(std::move(model)) {}

  std::string whole(std::string_view text, FinishReason finish, const Timings& timings) const;

  // Lines of server-sent events, each with its empty line. `usage`: whether the last but one event
  // tells the tokens, so that all others say that they do not.
  std::string first_event(bool usage) const;
  std::string text_event(std::string_view piece, bool usage) const;
  std::string finish_event(FinishReason finish, bool usage) const;
  std::string usage_event(const Timings& timings) const;
  static std::string error_event(std::string_view error_object);
  static std::string done_event();

 private:
  std::string id_;
  int64_t created_;
  std::string model_;
};

std::string models_json(std::string_view model, int64_t created);
std::string model_json(std::string_view model, int64_t created);

}  // namespace fastvlm
