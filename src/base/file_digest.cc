// SPDX-License-Identifier: Apache-2.0
#include "base/file_digest.h"

#include "base/mapped_file.h"
#include "base/sha256.h"

namespace fastvlm {

Result<std::string> sha256_of_file(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const MappedFile file, MappedFile::open(path));
  return sha256_hex(file.bytes());
}

}  // namespace fastvlm
