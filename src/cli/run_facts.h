// SPDX-License-Identifier: Apache-2.0
// Facts about a training run's files, for its record and its model card.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "train/run_record.h"
#include "train/training_run.h"

namespace fastvlm::cli {

RunData describe_data(const std::string& file, const SampleData& data);

// Of the files that lie in the folder itself.
int64_t bytes_of_files(const std::filesystem::path& folder);

// What dataset.json beside the data says, where there is one.
std::vector<std::pair<std::string, std::string>> how_data_was_made(const std::string& file);

}  // namespace fastvlm::cli
