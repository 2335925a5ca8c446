// SPDX-License-Identifier: Apache-2.0
// Small pictures that stand inside a page.
#pragma once

#include <filesystem>
#include <string>

namespace fastvlm {

// "data:image/webp;base64,…" of the picture, at most `width` pixels wide; empty when it cannot be
// read.
std::string thumbnail(const std::filesystem::path& picture, int width);

}  // namespace fastvlm
