// SPDX-License-Identifier: Apache-2.0
#include "detect/maps.h"

#include <utility>

namespace fastvlm {

MapStore::Block MapStore::take(int64_t bytes) {
  size_t best = free_.size();
  for (size_t i = 0; i < free_.size(); ++i) {
    if (free_[i].bytes < bytes) continue;
    if (best == free_.size() || free_[i].bytes < free_[best].bytes) best = i;
  }
  if (best == free_.size()) {
    bytes_ += bytes;
    return {bytes, aligned_bytes(bytes)};
  }
  Block block = std::move(free_[best]);
  free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(best));
  return block;
}

OwnedMap::OwnedMap(MapStore& store, int64_t height, int64_t width, int64_t channels)
    : store_(store) {
  MapStore::Block block =
      store.take(height * width * channels * static_cast<int64_t>(sizeof(float)));
  bytes_ = block.bytes;
  memory_ = std::move(block.memory);
  map_ = {reinterpret_cast<float*>(memory_.get()), height, width, channels, channels};
}

OwnedMap::~OwnedMap() {
  store_.give_back({bytes_, std::move(memory_)});
}

}  // namespace fastvlm
