// SPDX-License-Identifier: Apache-2.0
// Tokens as a guide sees them: raw bytes, nothing for control tokens, and which end an answer.
#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace fastvlm {

class TokenText {
 public:
  // The tokenizer must outlive this.
  TokenText(const Tokenizer& tokenizer, std::vector<TokenId> stop_ids)
      : tokenizer_(&tokenizer), stop_ids_(std::move(stop_ids)) {}

  const Tokenizer& tokenizer() const { return *tokenizer_; }

  bool is_stop(TokenId id) const {
    return std::find(stop_ids_.begin(), stop_ids_.end(), id) != stop_ids_.end();
  }
  std::string_view bytes(TokenId id) const {
    return tokenizer_->is_special(id) ? std::string_view() : tokenizer_->token_bytes(id);
  }
  std::string bytes(std::span<const TokenId> ids) const {
    std::string text;
    for (const TokenId id : ids) text += bytes(id);
    return text;
  }
  std::vector<std::string_view> pieces(std::span<const TokenId> ids) const {
    std::vector<std::string_view> found;
    for (const TokenId id : ids) found.push_back(bytes(id));
    return found;
  }
  Result<std::vector<TokenId>> encode(std::string_view text) const {
    return tokenizer_->encode(text, Trust::kUser);
  }

 private:
  const Tokenizer* tokenizer_;
  std::vector<TokenId> stop_ids_;
};

}  // namespace fastvlm
