// SPDX-License-Identifier: Apache-2.0
// The small files of an export: config.json with what the readers of MLX exports want to find, and
// tokenizer and processor files. Internal to quantize/.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "quantize/export.h"

namespace fastvlm {

// Carries the tokenizer's and processor's files over, and adds what Apple's converter adds: <image>
// among the tokenizer's added tokens, preprocessor_config.json and processor_config.json.
Status write_small_files(const Checkpoint& source, const std::filesystem::path& out);

// config.json of the export: the source's, flat, with `quantization` and `image_token_index`.
Status write_export_config(const Checkpoint& source, const std::filesystem::path& out,
                           const ExportOptions& options);

}  // namespace fastvlm
