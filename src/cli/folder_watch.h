// SPDX-License-Identifier: Apache-2.0
// New files of a folder, as they are finished. Goals: a file is told of when its writer has closed
// it or moved it there, and what was there before is told of first; nothing is lost when many come
// at once. Non-goals: changes on network file systems by other machines, which Linux does not see.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/result.h"
#include "cli/outputs.h"

namespace fastvlm::cli {

class FolderWatch {
 public:
  // `wanted` tells which files and folders below `folder` are of interest. Errors: kNotFound,
  // kLimit (the system watches no more folders), kIo.
  static Result<FolderWatch> open(const std::filesystem::path& folder, bool recursive,
                                  std::function<bool(const std::filesystem::path&)> wanted);

  FolderWatch(FolderWatch&& other) noexcept;
  FolderWatch& operator=(FolderWatch&&) = delete;
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;
  ~FolderWatch();

  // The next finished file; waits for one when `wait`, until stop() is true. kNotFound: the folder
  // is not there any more under its name, so that nothing could be told of.
  Result<std::optional<std::filesystem::path>> next(bool wait, const std::function<bool()>& stop);

 private:
  FolderWatch() = default;
  Status add_folder(const std::filesystem::path& folder);
  Status check_there() const;
  Status read_events();
  Status look_at(const std::filesystem::path& path, bool finished);
  void add_file(const std::filesystem::path& path);

  int fd_ = -1;
  bool recursive_ = false;
  std::filesystem::path folder_;
  std::optional<FileId> id_;  // of this folder, whatever its name
  std::function<bool(const std::filesystem::path&)> wanted_;
  std::map<int, std::filesystem::path> folder_of_;  // by the system's number of the watch
  std::deque<std::filesystem::path> queue_;
  std::set<std::filesystem::path> queued_;
};

}  // namespace fastvlm::cli
