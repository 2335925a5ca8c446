// SPDX-License-Identifier: Apache-2.0
// A body of OpenAI's POST /v1/chat/completions as a request for a caption. Goals: what their client
// sends for one picture and one question works unchanged; what this program cannot do is refused by
// name instead of being done otherwise. Non-goals: conversations, tools.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "caption/caption.h"
#include "serve/request_body.h"

namespace fastvlm {

struct TokenLimits {
  int64_t usual = 256;  // of an answer whose request names no number
  int64_t most = 2048;  // that a request may name
};

struct ChatRequest {
  CaptionRequest caption;
  PictureSource picture;
  std::vector<std::string> stop;
  bool stream = false;
  bool include_usage = false;
};

// Errors are about a field, which `param` is set to ("" when they are about the whole body).
Result<ChatRequest> parse_chat_request(std::string_view body, const TokenLimits& limits,
                                       std::string& param);

}  // namespace fastvlm
