// SPDX-License-Identifier: Apache-2.0
// The SHA-256 of a file's contents.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace fastvlm {

// In lower-case hexadecimal. Errors: those of MappedFile::open().
Result<std::string> sha256_of_file(const std::filesystem::path& path);

}  // namespace fastvlm
