// SPDX-License-Identifier: Apache-2.0
// Whether a file that has arrived is what its name says, before it counts as a model: servers
// answer with login pages, pointers and empty files under any name.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace fastvlm {

// Reads the header of a .safetensors file, the first bytes of a .pt; other files pass. A file that
// is something else is removed. `label` names it in messages.
Status keep_weights(const std::filesystem::path& path, const std::string& label);

}  // namespace fastvlm
