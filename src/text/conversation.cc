// SPDX-License-Identifier: Apache-2.0
#include "text/conversation.h"

#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr std::string_view kTurnStart = "<|im_start|>";
constexpr std::string_view kTurnEnd = "<|im_end|>";

Status append(const Tokenizer& tokenizer, std::string_view text, Trust trust,
              std::vector<TokenId>& ids) {
  FASTVLM_ASSIGN(const std::vector<TokenId> more, tokenizer.encode(text, trust));
  ids.insert(ids.end(), more.begin(), more.end());
  return {};
}

// Ends a question and begins its answer.
std::string answer_header() {
  return cat(kTurnEnd, "\n", kTurnStart, "assistant\n");
}

}  // namespace

Result<std::vector<TokenId>> conversation_ids(const Tokenizer& tokenizer, std::string_view question,
                                              PromptOrder order) {
  for (const std::string_view token : {kTurnStart, kTurnEnd}) {
    if (const auto id = tokenizer.find(token); !id || !tokenizer.is_added(*id)) {
      return error(Code::kInvalid,
                   cat("tokenizer: expected an added token ", token, ", found none"),
                   "use the tokenizer of the model's own checkpoint");
    }
  }
  // The template's own words next to the question are encoded together with it, because bytes merge
  // across the seam: a question that starts with a line end becomes "\n\n", one token.
  const bool first = order == PromptOrder::kImageFirst;
  const std::string opening =
      cat(kTurnStart, "system\nYou are a helpful assistant.", kTurnEnd, "\n", kTurnStart);
  std::vector<TokenId> ids;
  FASTVLM_RETURN_IF_ERROR(append(tokenizer, opening, Trust::kTrusted, ids));
  if (first) {
    FASTVLM_RETURN_IF_ERROR(append(tokenizer, "user\n", Trust::kUser, ids));
    ids.push_back(kImageToken);
  }
  FASTVLM_RETURN_IF_ERROR(
      append(tokenizer, cat(first ? "\n" : "user\n", question), Trust::kUser, ids));
  if (!first) ids.push_back(kImageToken);
  FASTVLM_RETURN_IF_ERROR(append(tokenizer, answer_header(), Trust::kTrusted, ids));
  return ids;
}

Status append_answer(const Tokenizer& tokenizer, std::string_view answer,
                     std::vector<TokenId>& ids) {
  FASTVLM_RETURN_IF_ERROR(append(tokenizer, answer, Trust::kUser, ids));
  return append(tokenizer, cat(kTurnEnd, "\n"), Trust::kTrusted, ids);
}

Status append_question(const Tokenizer& tokenizer, std::string_view question,
                       std::vector<TokenId>& ids) {
  FASTVLM_RETURN_IF_ERROR(append(tokenizer, kTurnStart, Trust::kTrusted, ids));
  FASTVLM_RETURN_IF_ERROR(append(tokenizer, cat("user\n", question), Trust::kUser, ids));
  return append(tokenizer, answer_header(), Trust::kTrusted, ids);
}

}  // namespace fastvlm
