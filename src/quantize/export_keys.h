// SPDX-License-Identifier: Apache-2.0
// What the other readers of MLX exports look for, held against a folder: an export that only we
// can read is of no use. The lists were read off the module trees and configuration types of
//   Apple's app         app/FastVLM/FastVLM.swift at 592b4add3c1c8a518e77d95dc6248e76c1dd591f
//   mlx-vlm             mlx_vlm/models/fastvlm at 9b13f522a7f1d214f426c67bb292c9e1065e9108
//   mlx-swift-lm        Libraries/MLXVLM/Models/FastVLM.swift at
//                       14414441fa44f45eee35a61e9fa0bab577cf9734
// The last two read one and the same layout.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/checkpoint.h"

namespace fastvlm {

// Who reads a layout: "Apple's app" or "mlx-vlm and mlx-swift-lm".
std::string readers_of(Layout layout);

// What these readers would miss or not expect in `folder`, one line each: tensors by name and
// shape, keys of config.json, a tower or widths that they do not build. Empty: they can read it.
// `layout` is kMlxPatch or kMlxVlm. Errors: a folder that cannot be read.
Result<std::vector<std::string>> check_export_keys(const std::filesystem::path& folder,
                                                   Layout layout);

}  // namespace fastvlm
