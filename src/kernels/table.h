// SPDX-License-Identifier: Apache-2.0
// The one dispatch point: which instruction set the kernels use. Chosen once, from what the machine
// has; a user may ask what was chosen (`info`) and force another (`--isa`). Models never see
// instruction sets.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

// Names of the kernel sets that this build has and this machine runs, the plainest ("reference")
// first, the default last.
std::vector<std::string> available_isas();
std::string current_isa();
// Must be called before any Matrix is packed: packed weights belong to the set that packed them.
Status select_isa(std::string_view name);

}  // namespace fastvlm
