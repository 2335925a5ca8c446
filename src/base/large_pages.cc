// SPDX-License-Identifier: Apache-2.0
#include "base/large_pages.h"

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace fastvlm {

void* map_memory(int64_t size) {
  const auto bytes = static_cast<size_t>(size);
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
#if defined(MADV_HUGEPAGE)
  madvise(data, bytes, MADV_HUGEPAGE);  // a wish: where the system has none, nothing happens
#endif
  return data;
}

void unmap_memory(void* data, int64_t size) {
  munmap(data, static_cast<size_t>(size));
}

}  // namespace fastvlm
