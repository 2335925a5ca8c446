// SPDX-License-Identifier: Apache-2.0
// What a run writes is never what it reads, under whatever name or link.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fastvlm::cli {

// Which file a path leads to, links followed: its device and inode. None: there is no such file
// yet.
using FileId = std::pair<dev_t, ino_t>;
std::optional<FileId> file_id(const std::filesystem::path& path);

struct Output {
  std::string option;  // "--report"
  std::filesystem::path path;
};

// Asked before any work. kUsage: an output is one of `inputs`, or the same file as an output before
// it. kIo: its folder does not exist. Outputs and inputs with an empty path are skipped.
Status check_outputs(const std::vector<Output>& outputs,
                     const std::vector<std::filesystem::path>& inputs);

// For options that write a file for each picture into a folder, named by `name_of`. kUsage: two
// pictures would write one file. kNotFound: there is no such folder.
Status check_folder_of_outputs(
    const std::string& option, const std::filesystem::path& folder,
    const std::vector<std::string>& pictures,
    const std::function<std::filesystem::path(const std::string& picture)>& name_of);

}  // namespace fastvlm::cli
