// SPDX-License-Identifier: Apache-2.0
// Which safetensors files make up a checkpoint folder. Internal to formats/.
#pragma once

#include <filesystem>
#include <vector>

#include "base/result.h"

namespace fastvlm {

// Whether something stands under the name; what cannot be looked at counts as there, so that
// opening it tells why.
bool file_exists(const std::filesystem::path& path);

// A tower that lies beside a checkpoint without one.
inline constexpr char kTowerFileName[] = "vision_tower.safetensors";

// The weight files of `folder`, sorted: model.safetensors, or the shards that
// model.safetensors.index.json names, or shards named model-00001-of-00003.safetensors without an
// index, or the only *.safetensors file. Weights in other containers are refused with the next
// step.
Result<std::vector<std::filesystem::path>> find_weight_files(const std::filesystem::path& folder);

// Every tensor that the folder's index names, by the file name it should be in; empty without an
// index.
struct IndexedTensor {
  std::string name;
  std::string file;
};
Result<std::vector<IndexedTensor>> read_weight_index(const std::filesystem::path& folder);

}  // namespace fastvlm
