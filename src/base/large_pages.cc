// SPDX-License-Identifier: Apache-2.0
#include "base/large_pages.h"

#include <sys/mman.h>

#include <cstddef>

namespace fastvlm {

void ask_for_large_pages(void* data, int64_t size) {
#if defined(MADV_HUGEPAGE)
  constexpr int64_t kWorthwhile = int64_t{1} << 20;  // neighbours may share a large page
  constexpr uintptr_t kPage = 4096;
  if (size < kWorthwhile) return;
  // Whole pages only: from the first boundary to the last.
  const uintptr_t skip = (kPage - reinterpret_cast<uintptr_t>(data) % kPage) % kPage;
  const uintptr_t whole = (static_cast<uintptr_t>(size) - skip) / kPage * kPage;
  madvise(static_cast<std::byte*>(data) + skip, whole, MADV_HUGEPAGE);
#else
  static_cast<void>(data);
  static_cast<void>(size);
#endif
}

}  // namespace fastvlm
