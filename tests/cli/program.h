// SPDX-License-Identifier: Apache-2.0
// The built program, for the tests of this folder.
#pragma once

#include <string>
#include <vector>

#include "support/run.h"

namespace fastvlm::test {

// What the user of this machine has pulled must not show: a detector would tag every picture.
inline Run fastvlm(std::vector<std::string> arguments, RunOptions options = {}) {
  options.environment.try_emplace("XDG_CACHE_HOME", std::string(FASTVLM_BINARY_DIR) + "/no-cache");
  arguments.insert(arguments.begin(), std::string(FASTVLM_BINARY_DIR) + "/fastvlm");
  return run(arguments, options);
}

}  // namespace fastvlm::test
