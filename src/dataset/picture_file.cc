// SPDX-License-Identifier: Apache-2.0
#include "dataset/picture_file.h"

namespace fastvlm {

std::filesystem::path picture_file(const std::filesystem::path& folder, const std::string& name) {
  std::error_code ignored;
  for (const std::filesystem::path& path :
       {folder / name, folder / std::filesystem::path(name).filename()}) {
    if (std::filesystem::is_regular_file(path, ignored)) return path;
  }
  return {};
}

}  // namespace fastvlm
