// SPDX-License-Identifier: Apache-2.0
// Aligned memory: packed weights, and working space that a thread keeps from call to call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "base/large_pages.h"

namespace fastvlm {

inline constexpr std::align_val_t kAlignment{64};  // a cache line, and the widest vector

// Blocks from here on come from the system and go back to it; smaller ones are malloc's.
inline constexpr int64_t kLargeBlock = int64_t{1} << 17;

struct AlignedDelete {
  int64_t size = 0;

  void operator()(std::byte* data) const {
    if (size >= kLargeBlock) {
      unmap_memory(data, size);
    } else {
      ::operator delete[](data, kAlignment);
    }
  }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedDelete>;

// Not touched, so that the threads that fill the pages also touch them first.
inline AlignedBytes aligned_bytes(int64_t size) {
  void* data = size >= kLargeBlock ? map_memory(size)
                                   : ::operator new[](static_cast<size_t>(size), kAlignment);
  return {static_cast<std::byte*>(data), AlignedDelete{size}};
}

// The same for packed weights, which stay. Small ones are malloc's here, too: sanitizers see where
// they end.
using WeightBytes = std::shared_ptr<std::byte[]>;
inline WeightBytes weight_bytes(int64_t size) {
  if (size >= kLargeBlock) return large_page_block(size);
  return {aligned_bytes(size)};
}

// Working space that grows to the largest request and stays with its owner (a thread_local of a
// kernel driver). Contents do not survive a request: the sanitizer build fills it with NaNs, so
// that a kernel which reads what it has not written gives itself away.
class Scratch {
 public:
  std::byte* bytes(int64_t size) {
    if (!data_ || size > capacity_) {
      data_.reset();
      data_ = aligned_bytes(size);
      capacity_ = size;
    }
#ifdef FASTVLM_FILL_SCRATCH
    std::memset(data_.get(), 0xFF, static_cast<size_t>(size));
#endif
    return data_.get();
  }
  float* floats(int64_t count) {
    return reinterpret_cast<float*>(bytes(count * int64_t{sizeof(float)}));
  }

 private:
  AlignedBytes data_;
  int64_t capacity_ = 0;  // bytes
};

}  // namespace fastvlm
