// SPDX-License-Identifier: Apache-2.0
// What fastvlm_last_error() and fastvlm_last_hint() answer on this thread.
#pragma once

#include "base/result.h"
#include "fastvlm/fastvlm.h"

namespace fastvlm::capi {

// Keeps message and hint for this thread and returns the status as the C API has it. Never throws:
// without memory for them both are lost.
fastvlm_status remember(fastvlm_status code, const std::string& message,
                        const std::string& hint) noexcept;
fastvlm_status remember(const Status& status) noexcept;

}  // namespace fastvlm::capi
