// SPDX-License-Identifier: Apache-2.0
// The small files of a checkpoint that is written: config.json, tokenizer and processor files.
// Internal to quantize/.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "quantize/export.h"

namespace fastvlm {

// Makes the folder. kUsage when something is in it already.
Status make_empty_folder(const std::filesystem::path& out);

// Carries the tokenizer's and processor's files over.
Status copy_small_files(const Checkpoint& source, const std::filesystem::path& out);

// And adds what Apple's converter adds: <image> among the tokenizer's added tokens,
// preprocessor_config.json and processor_config.json.
Status write_export_files(const Checkpoint& source, const std::filesystem::path& out);

// config.json of a float checkpoint in Apple's LLaVA layout.
Status write_float_config(const Checkpoint& source, const std::filesystem::path& out, DType dtype);

// config.json of the export: the source's, flat, with `quantization` and `image_token_index`.
Status write_export_config(const Checkpoint& source, const std::filesystem::path& out,
                           const ExportOptions& options);

}  // namespace fastvlm
