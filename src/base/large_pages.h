// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace fastvlm {

// Fresh zeroed memory straight from the system, in large pages where it has them, at a page
// boundary. Unlike what malloc gives, it goes back to the system when it is given back, so that the
// next model fits where the last one was. Throws std::bad_alloc.
void* map_memory(int64_t size);
void unmap_memory(void* data, int64_t size);

}  // namespace fastvlm
