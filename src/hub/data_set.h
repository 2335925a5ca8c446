// SPDX-License-Identifier: Apache-2.0
// Data sets that `fastvlm pull` knows by name: archives at fixed addresses with fixed digests.
// Goals: a pull that was cut off goes on where it stopped; only the files that are of use are
// unpacked. Non-goals: data sets from anywhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "hub/download.h"
#include "hub/http.h"
#include "hub/pull.h"

namespace fastvlm {

struct DataArchive {
  std::string url;  // of a .zip
  uint64_t bytes = 0;
  std::string sha256;
  std::vector<std::string> wanted;  // files, or folders that end in "/", as the archive names them
};

struct DataSetSource {
  std::string name;     // "coco-val2017"
  std::string license;  // one line
  std::string about;    // one line
  std::vector<DataArchive> archives;
};

std::span<const DataSetSource> data_set_catalog();
const DataSetSource* find_data_set(std::string_view name);  // null: not known

// $XDG_CACHE_HOME/fastvlm/datasets, or ~/.cache/fastvlm/datasets.
Result<std::filesystem::path> data_sets_folder();

// Fetches the archives into FOLDER/name, unpacks what is wanted, removes the archives again. The
// record, written last, names their addresses and digests. A complete one is left alone.
Result<PulledModel> pull_data_set(const HttpClient& client, const DataSetSource& source,
                                  const std::filesystem::path& folder, const OnPlan& on_plan,
                                  const OnProgress& on_progress);

}  // namespace fastvlm
