// SPDX-License-Identifier: Apache-2.0
// The page that the server shows at /, whose files (web/app/) the program carries.
#pragma once

#include <span>
#include <string_view>

namespace fastvlm {

struct PageFile {
  std::string_view path;  // "/", "/app.js", ...
  std::string_view type;  // its Content-Type
  std::string_view body;
};

std::span<const PageFile> page_files();

}  // namespace fastvlm
