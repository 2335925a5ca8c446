// SPDX-License-Identifier: Apache-2.0
// Random numbers by counter: the n-th number of a stream is a function of the stream's key and n.
// Nothing has to be stored or replayed, so that a block which is computed a second time drops the
// same elements, and a run that is resumed goes on as if it had never stopped.
#pragma once

#include <cstdint>

namespace fastvlm {

class RandomStream {
 public:
  explicit RandomStream(uint64_t seed) : key_(mixed(seed)) {}

  // An independent stream for part `index` of what this one is for.
  RandomStream part(uint64_t index) const { return RandomStream(key_ ^ mixed(index + kStep)); }

  uint64_t at(uint64_t n) const { return mixed(key_ + n * kStep); }
  double uniform(uint64_t n) const { return static_cast<double>(at(n) >> 11) * 0x1p-53; }  // [0, 1)

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15;  // of splitmix64, as is the mixing

  static uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  }

  uint64_t key_;
};

}  // namespace fastvlm
