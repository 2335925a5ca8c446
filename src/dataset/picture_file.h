// SPDX-License-Identifier: Apache-2.0
// Where the picture lies that a file of captions names.
#pragma once

#include <filesystem>
#include <string>

namespace fastvlm {

// `name` under `folder` as it was given, else its last part alone ("train2017/7.jpg" is 7.jpg);
// empty when neither is a file.
std::filesystem::path picture_file(const std::filesystem::path& folder, const std::string& name);

}  // namespace fastvlm
