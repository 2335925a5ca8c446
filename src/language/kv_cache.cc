// SPDX-License-Identifier: Apache-2.0
#include "language/kv_cache.h"

#include <algorithm>
#include <cassert>

namespace fastvlm {

KvCache::KvCache(const LanguageConfig& config, int64_t capacity, int64_t first_position)
    : layers_(config.layers),
      width_(config.kv_heads * config.head_dim),
      capacity_(capacity),
      first_position_(first_position),
      rows_(std::make_unique_for_overwrite<float[]>(
          static_cast<size_t>(2 * layers_ * capacity_ * width_))) {}

int64_t KvCache::bytes() const {
  const int64_t floats = 2 * layers_ * capacity_ * width_ + static_cast<int64_t>(scratch_.size());
  return floats * static_cast<int64_t>(sizeof(float));
}

void KvCache::truncate(int64_t length) {
  assert(length >= 0 && length <= length_);
  length_ = length;
}

void KvCache::copy_from(const KvCache& other, int64_t unchanged) {
  assert(layers_ == other.layers_ && width_ == other.width_ && other.length_ <= capacity_);
  assert(first_position_ == other.first_position_);
  const int64_t begin = std::min(unchanged, other.length_) * width_;
  const int64_t count = other.length_ * width_ - begin;
  for (int64_t layer = 0; layer < layers_; ++layer) {
    std::copy_n(other.keys(layer) + begin, count, keys(layer) + begin);
    std::copy_n(other.values(layer) + begin, count, values(layer) + begin);
  }
  length_ = other.length_;
}

}  // namespace fastvlm
