// SPDX-License-Identifier: Apache-2.0
// A whole file mapped read-only into memory. The mapping lives as long as the object (movable, not
// copyable).
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

#include "base/result.h"

namespace fastvlm {

class MappedFile {
 public:
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  // Tells the system that these bytes of the mapping are not needed for now, so that its pages
  // leave our memory; reading them again brings them back from the file.
  void release(std::span<const std::byte> part) const;

 private:
  MappedFile() = default;

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The first `count` bytes of a regular file, fewer when it is shorter.
Result<std::string> read_beginning(const std::filesystem::path& path, size_t count);

// The contents of a small text file (config, prompt, tokenizer). Fails above `limit` bytes.
Result<std::string> read_text_file(const std::filesystem::path& path,
                                   size_t limit = size_t{256} << 20);

}  // namespace fastvlm
