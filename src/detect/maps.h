// SPDX-License-Identifier: Apache-2.0
// Memory of a network's maps. A store gives out parts of a few large pieces and joins what comes
// back, so that maps take little more than those that are needed at one time, and the second
// picture asks the system for nothing.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "kernels/scratch.h"

namespace fastvlm {

// Pixels [height, width, channels], `stride` floats from one to the next; borrowed.
struct Map {
  float* data = nullptr;
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  int64_t stride = 0;

  int64_t pixels() const { return height * width; }
  // Channels [first, first + count) of the same pixels.
  Map slice(int64_t first, int64_t count) const {
    return {data + first, height, width, count, stride};
  }
};

class MapStore {
 public:
  // Memory for `bytes` bytes, aligned as kernels want it, not cleared.
  std::byte* take(int64_t bytes);
  void give_back(std::byte* data, int64_t bytes);

  int64_t most_bytes() const { return most_; }  // that were given out at one time

 private:
  std::map<std::byte*, int64_t>::iterator smallest_gap(int64_t bytes);

  std::vector<AlignedBytes> pieces_;
  std::map<std::byte*, int64_t> gaps_;  // free bytes by address; no two of them touch
  int64_t taken_ = 0;
  int64_t most_ = 0;
};

// A map with memory of its own, which goes back to its store.
class OwnedMap {
 public:
  OwnedMap(MapStore& store, int64_t height, int64_t width, int64_t channels);
  OwnedMap(OwnedMap&& other) noexcept
      : store_(other.store_), map_(std::exchange(other.map_, Map{})) {}
  OwnedMap& operator=(OwnedMap&& other) noexcept {
    std::swap(store_, other.store_);
    std::swap(map_, other.map_);
    other.give_back();
    return *this;
  }
  ~OwnedMap() { give_back(); }

  operator const Map&() const { return map_; }  // NOLINT(google-explicit-constructor)
  const Map* operator->() const { return &map_; }

  // Before its time: the map is empty afterwards.
  void give_back();

 private:
  int64_t bytes() const {
    return map_.pixels() * map_.channels * static_cast<int64_t>(sizeof(float));
  }

  MapStore* store_;
  Map map_;
};

}  // namespace fastvlm
