// SPDX-License-Identifier: Apache-2.0
// A file that is being fetched: its bytes are in `<target>.part` until it is complete, so that an
// interrupted download goes on where it stopped and nobody ever sees half a file under the real
// name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/result.h"
#include "base/sha256.h"

namespace fastvlm {

class PartFile {
 public:
  explicit PartFile(const std::filesystem::path& target);
  PartFile(const PartFile&) = delete;
  PartFile& operator=(const PartFile&) = delete;
  ~PartFile();

  // Opens or creates the file and hashes what is already there.
  Status open();
  // Throws away what is there.
  Status restart();
  // Notes the version of the source (an ETag) that the bytes belong to.
  void remember(const std::string& etag);
  Status append(std::span<const std::byte> bytes);
  // SHA-256 of all bytes; call once, when complete.
  std::string finish() { return hash_.finish(); }
  // Syncs the file and gives it its real name.
  Status commit();
  // Removes the part altogether.
  void remove();

  uint64_t bytes() const { return bytes_; }
  const std::string& etag() const { return etag_; }
  // Whether the file begins with these bytes.
  bool starts_with(std::span<const std::byte> bytes) const;

 private:
  std::filesystem::path target_;
  std::filesystem::path path_;
  std::filesystem::path etag_path_;
  int fd_ = -1;
  uint64_t bytes_ = 0;
  std::string etag_;
  Sha256 hash_;
};

// What a failed write to `path` means to the user; `reason` is an errno.
Status write_error(const std::filesystem::path& path, int reason);

}  // namespace fastvlm
