// SPDX-License-Identifier: Apache-2.0
// Choices that depend on a seed and a name alone: the same on every machine, whatever was chosen
// before for other names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace fastvlm {

class SeededChoice {
 public:
  SeededChoice(uint64_t seed, std::string_view name) : state_(mixed(seed ^ kStep)) {
    for (const char c : name) state_ = mixed(state_ ^ static_cast<unsigned char>(c));
  }

  uint64_t next() { return mixed(state_ += kStep); }
  size_t below(size_t count) { return static_cast<size_t>(next() % count); }
  template <typename T>
  const T& of(const std::vector<T>& choices) {
    return choices[below(choices.size())];
  }

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15;  // of splitmix64, as is the mixing

  static uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  }

  uint64_t state_;
};

}  // namespace fastvlm
