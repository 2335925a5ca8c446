// SPDX-License-Identifier: Apache-2.0
#include "language/kv_cache.h"

#include <algorithm>
#include <cassert>

namespace fastvlm {

KvCache::KvCache(const LanguageConfig& config, int64_t capacity, int64_t first_position)
    : layers_(config.layers),
      shape_{nullptr, nullptr, capacity, config.kv_heads, config.head_dim},
      first_position_(first_position),
      rows_(std::make_unique_for_overwrite<float[]>(
          static_cast<size_t>(layers_ * (shape_.key_floats() + shape_.value_floats())))) {}

KeyValues KvCache::layer(int64_t index) const {
  KeyValues rows = shape_;
  rows.keys = rows_.get() + index * (shape_.key_floats() + shape_.value_floats());
  rows.values = rows.keys + shape_.key_floats();
  return rows;
}

int64_t KvCache::bytes() const {
  const int64_t floats = layers_ * (shape_.key_floats() + shape_.value_floats()) +
                         static_cast<int64_t>(scratch_.size());
  return floats * static_cast<int64_t>(sizeof(float));
}

void KvCache::truncate(int64_t length) {
  assert(length >= 0 && length <= length_);
  length_ = length;
}

void KvCache::copy_from(const KvCache& other, int64_t unchanged) {
  assert(layers_ == other.layers_ && shape_.kv_heads == other.shape_.kv_heads);
  assert(shape_.head_dim == other.shape_.head_dim && other.length_ <= capacity());
  assert(first_position_ == other.first_position_);
  for (int64_t i = 0; i < layers_; ++i) {
    layer(i).copy_from(other.layer(i), unchanged, other.length_);
  }
  length_ = other.length_;
}

}  // namespace fastvlm
