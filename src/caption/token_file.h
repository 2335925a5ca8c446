// SPDX-License-Identifier: Apache-2.0
// What the tower made of one picture, in a file: the tensor `tokens` [count, width], F32, with its
// SHA-256 beside it.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/result.h"
#include "vision/tokens.h"

namespace fastvlm {

Status write_tokens(const std::filesystem::path& path, const Tokens& tokens);

// kInvalid when the file holds anything else than [count, width] tokens, or is damaged.
Result<Tokens> read_tokens(const std::filesystem::path& path, int64_t count, int64_t width);

}  // namespace fastvlm
