// SPDX-License-Identifier: Apache-2.0
// Memory in large pages, where the system has them: a processor that goes through hundreds of MB
// looks up fewer addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace fastvlm {

// Fresh zeroed memory straight from the system, at a page boundary (of a large page from 2 MB on).
// Unlike what malloc gives, it goes back to the system when it is given back, so that the next
// model fits where the last one was. Throws std::bad_alloc.
void* map_memory(int64_t size);
void unmap_memory(void* data, int64_t size);

// A block for what is kept, such as the weights of a layer, at a multiple of 64 bytes. Such blocks
// share large pages, for in memory of its own a block of a few MB gets hardly any. Their memory
// goes back to the system by regions of 32 MB, or is used again, once no block in it is left.
// Contents are not defined. Throws std::bad_alloc. Any thread may call it.
std::shared_ptr<std::byte[]> large_page_block(int64_t size);

}  // namespace fastvlm
