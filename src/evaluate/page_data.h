// SPDX-License-Identifier: Apache-2.0
// Data inside the project's pages.
#pragma once

#include <string>
#include <string_view>

namespace fastvlm {

inline constexpr std::string_view kDataMark = "@DATA@";  // where it stands in a page

// JSON as a script element may hold it: only `</` and `<!` could end or change the element.
std::string for_script(std::string json);

}  // namespace fastvlm
