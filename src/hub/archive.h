// SPDX-License-Identifier: Apache-2.0
// Unpacking a model from a .zip archive (Apple ships its checkpoints so), or chosen files of one.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/cache.h"
#include "hub/download.h"

namespace fastvlm {

// Writes the files that a checkpoint needs (see is_model_file) into `folder`, without the archive's
// own folders, each under a temporary name until it is complete and its checksum right. Names that
// would leave the folder or appear twice are refused. After an error none of its files is there.
Result<std::vector<PulledFile>> unpack_model(const std::filesystem::path& archive,
                                             const std::filesystem::path& folder,
                                             const OnProgress& on_progress);

// Writes those files of `archive` into `folder`, under their names there, that `wanted` lists or
// that lie below a folder which it lists ("val2017/"). A file that is there in its full size is
// left alone, so that an unpacking that was cut off goes on; after an error those that are complete
// stay. kInvalid: a name that would leave the folder, or something wanted is not in the archive.
Result<std::vector<PulledFile>> unpack_files(const std::filesystem::path& archive,
                                             const std::filesystem::path& folder,
                                             const std::vector<std::string>& wanted,
                                             const OnProgress& on_progress);

// Weights, configuration, tokenizer, licence and model card; not training states, pictures or other
// frameworks' exports.
bool is_model_file(const std::string& path);

}  // namespace fastvlm
