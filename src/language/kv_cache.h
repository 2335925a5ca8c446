// SPDX-License-Identifier: Apache-2.0
// One timeline of a decoder: the keys and values of every position so far, and the scratch rows
// that running it needs. A Qwen2 is weights and may serve many caches; a cache belongs to one
// caller.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "formats/config.h"
#include "kernels/attention.h"

namespace fastvlm {

class KvCache {
 public:
  // Room for `capacity` rows, allocated once: 2 * layers * kv_heads * head_dim floats a row (24 KB
  // for Qwen2-0.5B). Row i stands at position first_position + i of the rotary embedding.
  KvCache(const LanguageConfig& config, int64_t capacity, int64_t first_position = 0);

  int64_t length() const { return length_; }  // rows that hold something
  int64_t capacity() const { return shape_.capacity; }
  int64_t next_position() const { return first_position_ + length_; }
  int64_t bytes() const;  // of keys, values and scratch

  // Forgets the rows from `length` on (0 <= length <= this->length()).
  void truncate(int64_t length);
  // Becomes the same timeline as `other`, a cache of the same model whose length fits the capacity.
  // Rows before `unchanged` are known to be equal already and stay as they are.
  void copy_from(const KvCache& other, int64_t unchanged = 0);

 private:
  friend class Qwen2;

  KeyValues layer(int64_t index) const;

  int64_t layers_ = 0;
  KeyValues shape_;  // of a layer, without memory
  int64_t first_position_ = 0;
  int64_t length_ = 0;
  std::unique_ptr<float[]> rows_;  // untouched pages cost nothing
  std::vector<float> scratch_;
};

}  // namespace fastvlm
