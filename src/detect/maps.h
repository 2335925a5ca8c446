// SPDX-License-Identifier: Apache-2.0
// Memory of a network's maps. A store keeps what was given back and gives it out again, so that the
// second picture asks the system for nothing.
#pragma once

#include <cstdint>
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

class MapStore;

// A map with memory of its own, which goes back to its store.
class OwnedMap {
 public:
  OwnedMap(MapStore& store, int64_t height, int64_t width, int64_t channels);
  OwnedMap(const OwnedMap&) = delete;
  OwnedMap& operator=(const OwnedMap&) = delete;
  ~OwnedMap();

  operator const Map&() const { return map_; }  // NOLINT(google-explicit-constructor)
  const Map* operator->() const { return &map_; }

 private:
  MapStore& store_;
  int64_t bytes_ = 0;
  AlignedBytes memory_;
  Map map_;
};

class MapStore {
 public:
  int64_t bytes() const { return bytes_; }  // of all that was ever asked of the system

 private:
  friend class OwnedMap;
  struct Block {
    int64_t bytes = 0;
    AlignedBytes memory;
  };

  Block take(int64_t bytes);  // the smallest that fits, or a new one
  void give_back(Block block) { free_.push_back(std::move(block)); }

  std::vector<Block> free_;
  int64_t bytes_ = 0;
};

}  // namespace fastvlm
