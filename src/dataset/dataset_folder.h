// SPDX-License-Identifier: Apache-2.0
// A folder with a data set: train.jsonl, val.jsonl and test.jsonl, the same as .json, and
// dataset.json, which says how they came to be and is written last (docs/FORMATS.md).
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "dataset/sample.h"
#include "dataset/splits.h"

namespace fastvlm {

inline constexpr const char* kDatasetRecord = "dataset.json";

using SplitSamples = std::array<std::vector<DatasetSample>, kSplitCount>;

// What the samples depend on besides the pictures: {"teacher", "coco"}.
using DatasetSettings = std::vector<std::pair<std::string, std::string>>;

// All that a data set's folder may hold of ours.
std::vector<std::string> dataset_file_names();

// The folder is made when it is not there; its parent must exist. kUsage: it holds other files than
// a data set's (so that nothing of somebody else's is replaced). kIo.
Status prepare_dataset_folder(const std::filesystem::path& folder);

// Writes the files of splits that have samples and removes those of an earlier data set that have
// none. The same samples and settings, the same bytes.
Status write_dataset(const std::filesystem::path& folder, const SplitSamples& samples,
                     const DatasetSettings& settings);

}  // namespace fastvlm
