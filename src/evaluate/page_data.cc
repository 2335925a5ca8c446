// SPDX-License-Identifier: Apache-2.0
#include "evaluate/page_data.h"

namespace fastvlm {

std::string for_script(std::string json) {
  for (size_t at = json.find('<'); at != std::string::npos; at = json.find('<', at + 1)) {
    json.replace(at, 1, "\\u003c");
  }
  return json;
}

}  // namespace fastvlm
