// SPDX-License-Identifier: Apache-2.0
// One of several texts, token by token.
#pragma once

#include <span>
#include <vector>

#include "language/guided_decoding.h"
#include "text/tokenizer.h"

namespace fastvlm {

// What follows `value`, the beginning of one or more of `choices`, none of which is the beginning
// of another: what they have in common is forced, then the model chooses. Nothing is forced and
// nothing to be chosen (`complete`) when the value is one of them.
struct ChoiceStep {
  bool complete = false;
  std::vector<TokenId> forced = {};
  IdPredicate allows = {};
};
ChoiceStep next_of_choices(const std::vector<std::vector<TokenId>>& choices,
                           std::span<const TokenId> value);

}  // namespace fastvlm
