// SPDX-License-Identifier: Apache-2.0
// The conversation in which FastVLM was trained: system turn, user turn with the image, and the
// header of the assistant's answer.
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace fastvlm {

constexpr TokenId kImageToken = -200;  // the hole that the image's vectors fill, as in LLaVA

enum class PromptOrder {
  kImageFirst,  // Apple's Python: image, line end, question
  kImageLast,   // the iOS app: question, image
};

// The ids with one kImageToken. The question is an end user's text: whatever stands in it, it ends
// no turn and names no image. Fails when the tokenizer lacks the tokens of the template.
Result<std::vector<TokenId>> conversation_ids(const Tokenizer& tokenizer, std::string_view question,
                                              PromptOrder order);

// What follows in a conversation that is learnt from: an answer with the end of its turn,
// "<|im_end|>\n", and the next question with the header of its answer. Both texts are users' texts.
Status append_answer(const Tokenizer& tokenizer, std::string_view answer,
                     std::vector<TokenId>& ids);
Status append_question(const Tokenizer& tokenizer, std::string_view question,
                       std::vector<TokenId>& ids);

}  // namespace fastvlm
