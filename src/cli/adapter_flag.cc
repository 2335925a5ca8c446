// SPDX-License-Identifier: Apache-2.0
#include "cli/adapter_flag.h"

#include <charconv>
#include <cmath>

#include "base/strings.h"

namespace fastvlm::cli {

Result<AdapterFlag> parse_adapter(const std::string& text) {
  AdapterFlag flag{text, 1};
  const size_t colon = text.rfind(':');
  std::error_code ignored;
  if (colon == std::string::npos || std::filesystem::exists(text, ignored)) return flag;
  flag.folder = text.substr(0, colon);
  const char* end = text.data() + text.size();
  const auto [at, fault] = std::from_chars(text.data() + colon + 1, end, flag.strength);
  if (fault == std::errc() && at == end && std::isfinite(flag.strength) && colon > 0) return flag;
  return error(
      Code::kUsage,
      cat("--adapter ", printable(text), ": expected DIR or DIR:SCALE, a number such as 0.5"),
      "give the folder of adapter_config.json");
}

}  // namespace fastvlm::cli
