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
  const auto begin = (reinterpret_cast<uintptr_t>(data) + kPage - 1) / kPage * kPage;
  const auto end =
      (reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(size)) / kPage * kPage;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
#else
  static_cast<void>(data);
  static_cast<void>(size);
#endif
}

}  // namespace fastvlm
