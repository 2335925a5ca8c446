// SPDX-License-Identifier: Apache-2.0
// The page around a run's report, whose text the program carries.
#pragma once

#include <string_view>

namespace fastvlm {

inline constexpr std::string_view kPageTitle = "@TITLE@";
inline constexpr std::string_view kPageBody = "@BODY@";

std::string_view run_page_text();  // web/run.html

}  // namespace fastvlm
