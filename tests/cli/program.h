// SPDX-License-Identifier: Apache-2.0
// The built program, for the tests of this folder.
#pragma once

#include <string>
#include <vector>

#include "support/run.h"

namespace fastvlm::test {

inline Run fastvlm(std::vector<std::string> arguments, const RunOptions& options = {}) {
  arguments.insert(arguments.begin(), std::string(FASTVLM_BINARY_DIR) + "/fastvlm");
  return run(arguments, options);
}

}  // namespace fastvlm::test
