// SPDX-License-Identifier: Apache-2.0
// --adapter DIR[:SCALE].
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace fastvlm::cli {

struct AdapterFlag {
  std::filesystem::path folder;
  float strength = 1;
};

// A folder whose name holds a colon is taken as it is when it is there. kUsage for a scale that is
// no number.
Result<AdapterFlag> parse_adapter(const std::string& text);

}  // namespace fastvlm::cli
