// SPDX-License-Identifier: Apache-2.0
#include "caption/choices.h"

#include <algorithm>
#include <set>

namespace fastvlm {

ChoiceStep next_of_choices(const std::vector<std::vector<TokenId>>& choices,
                           std::span<const TokenId> value) {
  std::vector<const std::vector<TokenId>*> alive;
  for (const std::vector<TokenId>& choice : choices) {
    if (value.size() <= choice.size() && std::equal(value.begin(), value.end(), choice.begin())) {
      alive.push_back(&choice);
    }
  }
  ChoiceStep step;
  if (alive.front()->size() == value.size()) {
    step.complete = true;
    return step;
  }
  for (size_t at = value.size();; ++at) {
    std::set<TokenId> following;
    for (const auto* choice : alive) following.insert(at < choice->size() ? (*choice)[at] : -1);
    if (following.size() == 1 && *following.begin() >= 0) {
      step.forced.push_back(*following.begin());
      continue;
    }
    if (step.forced.empty()) {
      step.allows = [following](TokenId id) { return following.contains(id); };
    }
    return step;
  }
}

}  // namespace fastvlm
