// SPDX-License-Identifier: Apache-2.0
// Output files that are there whole or not at all: written under a temporary name in the same
// folder, synced, then renamed. Whatever stood under the name before stays until then.
#pragma once

#include <cstddef>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fastvlm {

class AtomicFile {
 public:
  // A link is followed: what it names is replaced. Anything there but a regular file (a device, a
  // pipe, a folder) is an error, for the rename would put a file in its place.
  static Result<AtomicFile> create(const std::filesystem::path& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();  // removes the temporary file unless commit() succeeded

  const std::filesystem::path& path() const { return path_; }
  Status write(std::span<const std::byte> bytes);
  // Gives the file the permissions, the owner (where the system lets us) and the time of `other`.
  // To be called when all is written.
  Status take_attributes_of(const std::filesystem::path& other);
  // Syncs the data, renames the file to its name and syncs the folder. Nothing may follow.
  Status commit();

 private:
  AtomicFile() = default;
  Status failed(std::string_view what, int reason) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int fd_ = -1;
  int slot_ = -1;  // in the list of unfinished files
};

// Removes the temporary files of this process. For handlers of signals that end the program: calls
// only what such a handler may.
void remove_unfinished_files() noexcept;

// Makes new and renamed entries of a folder durable. Some file systems cannot; the files are whole
// either way.
void sync_folder(const std::filesystem::path& folder) noexcept;

// Removes the temporary files in `folder` that were to become one of `names`: what a process left
// that was killed. The caller knows that nobody is writing these names now.
void remove_abandoned_files(const std::filesystem::path& folder,
                            const std::set<std::string>& names);

Status write_file_atomically(const std::filesystem::path& path, std::string_view contents);

}  // namespace fastvlm
