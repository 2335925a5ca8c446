// SPDX-License-Identifier: Apache-2.0
// People's own pictures with captions, as samples: CSV with a line of names, JSON lines or a list
// of {"image", "caption"[, "prompt", "tags", "id"]}, and LLaVA conversations as they are. Goals:
// what cannot be used is named by file and line; samples of one picture stay in one split.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataset/check.h"
#include "dataset/dataset_folder.h"

namespace fastvlm {

struct ImportOptions {
  std::filesystem::path images;
  std::string prompt;  // where a pair has none
  uint64_t seed = 0;
  SplitShares shares = kUsualShares;
};

struct ImportedSet {
  SplitSamples samples;
  std::vector<DatasetProblem> problems;  // pairs that are left out
};

// Errors: those of reading the file; kInvalid (a CSV without the columns `image` and `caption`).
Result<ImportedSet> import_pairs(const std::filesystem::path& path, const ImportOptions& options);

}  // namespace fastvlm
