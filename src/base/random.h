// SPDX-License-Identifier: Apache-2.0
// Random numbers that are the same on every machine, made by SplitMix64 (Steele, Lea, Flood 2014):
// the standard library's distributions differ between systems.
#pragma once

#include <cstdint>

namespace fastvlm {

inline constexpr uint64_t kSplitMixStep = 0x9E3779B97F4A7C15;  // from one state to the next

// The number that belongs to a state.
constexpr uint64_t splitmix(uint64_t state) {
  state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
  state = (state ^ (state >> 27)) * 0x94D049BB133111EB;
  return state ^ (state >> 31);
}

// One number after the other.
class Generator {
 public:
  explicit Generator(uint64_t seed) : state_(seed) {}
  uint64_t next() { return splitmix(state_ += kSplitMixStep); }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // in [0, 1)

 private:
  uint64_t state_;
};

// Numbers by counter: the n-th one is a function of the stream's key and n. Nothing has to be
// stored or replayed, so that a block which is computed a second time drops the same elements, and
// a run that is resumed goes on as if it had never stopped.
class RandomStream {
 public:
  explicit RandomStream(uint64_t seed) : key_(splitmix(seed)) {}

  // An independent stream for part `index` of what this one is for.
  RandomStream part(uint64_t index) const {
    return RandomStream(key_ ^ splitmix(index + kSplitMixStep));
  }

  uint64_t at(uint64_t n) const { return splitmix(key_ + n * kSplitMixStep); }
  double uniform(uint64_t n) const { return static_cast<double>(at(n) >> 11) * 0x1p-53; }  // [0, 1)

 private:
  uint64_t key_;
};

}  // namespace fastvlm
