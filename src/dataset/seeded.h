// SPDX-License-Identifier: Apache-2.0
// Choices that depend on a seed and a name alone: the same on every machine, whatever was chosen
// before for other names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace fastvlm {

class SeededChoice {
 public:
  SeededChoice(uint64_t seed, std::string_view name) : generator_(state_of(seed, name)) {}

  uint64_t next() { return generator_.next(); }
  size_t below(size_t count) { return static_cast<size_t>(next() % count); }
  template <typename T>
  const T& of(const std::vector<T>& choices) {
    return choices[below(choices.size())];
  }

 private:
  static uint64_t state_of(uint64_t seed, std::string_view name) {
    uint64_t state = splitmix(seed ^ kSplitMixStep);
    for (const char c : name) state = splitmix(state ^ static_cast<unsigned char>(c));
    return state;
  }

  Generator generator_;
};

}  // namespace fastvlm
