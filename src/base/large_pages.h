// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace fastvlm {

// Lets the system back the whole 2 MB parts of this memory, which nobody has touched yet, with
// large pages. A wish: where the system has none, nothing happens.
void ask_for_large_pages(void* data, int64_t size);

}  // namespace fastvlm
