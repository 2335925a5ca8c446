// SPDX-License-Identifier: Apache-2.0
#include "base/large_pages.h"

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <mutex>
#include <new>

namespace fastvlm {
namespace {

constexpr int64_t kLargePage = int64_t{2} << 20;
constexpr int64_t kRegion = int64_t{32} << 20;
constexpr int64_t kAnyPage = int64_t{1} << 16;  // a multiple of all sizes of small pages in use
constexpr int64_t kBlockAlignment = 64;

int64_t rounded_up(int64_t size, int64_t multiple) {
  return (size + multiple - 1) / multiple * multiple;
}

void* map_pages(int64_t size) {
  void* data = mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  return data;
}

std::shared_ptr<std::byte[]> map_region(int64_t size) {
  return {static_cast<std::byte*>(map_memory(size)),
          [size](std::byte* data) { unmap_memory(data, size); }};
}

// The region that is being filled.
class Regions {
 public:
  std::shared_ptr<std::byte[]> take(int64_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (current_.use_count() == 1) {  // nobody has a block in it
      std::atomic_thread_fence(std::memory_order_acquire);
      used_ = 0;
    }
    if (!current_ || used_ + size > kRegion) {
      current_ = map_region(kRegion);
      used_ = 0;
    }
    std::byte* const block = current_.get() + used_;
    used_ += size;
    return {current_, block};
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<std::byte[]> current_;
  int64_t used_ = 0;
};

// What is mapped for `size` bytes.
int64_t mapped_length(int64_t size) {
  return size < kLargePage ? size : rounded_up(size, kAnyPage);
}

}  // namespace

void* map_memory(int64_t size) {
  const int64_t length = mapped_length(size);
  if (size < kLargePage) return map_pages(length);
  // As much more as leads to a large page's boundary goes back at once.
  auto* const mapped = static_cast<std::byte*>(map_pages(length + kLargePage));
  const auto address = static_cast<int64_t>(reinterpret_cast<uintptr_t>(mapped));
  const int64_t before = rounded_up(address, kLargePage) - address;
  if (before > 0) munmap(mapped, static_cast<size_t>(before));
  if (before < kLargePage)
    munmap(mapped + before + length, static_cast<size_t>(kLargePage - before));
#if defined(MADV_HUGEPAGE)
  madvise(mapped + before, static_cast<size_t>(length),
          MADV_HUGEPAGE);  // a wish: where the system has none, nothing happens
#endif
  return mapped + before;
}

void unmap_memory(void* data, int64_t size) {
  munmap(data, static_cast<size_t>(mapped_length(size)));
}

std::shared_ptr<std::byte[]> large_page_block(int64_t size) {
  if (size > kRegion / 2) return map_region(size);
  static Regions regions;
  return regions.take(rounded_up(size, kBlockAlignment));
}

}  // namespace fastvlm
