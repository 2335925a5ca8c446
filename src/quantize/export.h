// SPDX-License-Identifier: Apache-2.0
// A float checkpoint written as an MLX export with quantised weights, for this program, mlx-vlm
// and Apple's app. Goals: with Quantizer::kMlx the same bits as MLX's own quantiser on a CPU;
// tensors stream from file to file, so that a 7B model needs little memory; files appear whole.
// Non-goal: quantising what is quantised already, which would add one error to another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "quantize/importance.h"
#include "quantize/recipe.h"

namespace fastvlm {

enum class Quantizer {
  kMlx,     // formats/affine.h, from weights rounded to F16 as MLX's converter does
  kSearch,  // quantize/affine_search.h
};

struct ExportOptions {
  Layout layout = Layout::kMlxPatch;  // or kMlxVlm
  Recipe recipe;
  Quantizer quantizer = Quantizer::kMlx;
  // Of the inputs, for kSearch; null: all matter alike. Must outlive the export.
  const Importance* importance = nullptr;
};

struct ExportReport {
  int64_t quantized = 0;  // tensors
  int64_t kept = 0;       // tensors stored as F16
  int64_t parameters = 0;
  int64_t bytes = 0;  // of all weight files written
  std::vector<std::string> files;
  std::vector<std::string>
      left_out;  // of the source's matrices, those whose width no group divides
};

// What export_quantized() would refuse before it writes anything, the folder included, which is
// made: to be asked before other work.
Status check_export(const Checkpoint& source, const std::filesystem::path& out,
                    const ExportOptions& options);

// Writes `out`, which must be absent or empty: model.safetensors, config.json, the tokenizer and
// processor files of `source`, and, with kMlxPatch, the tower as vision_tower.safetensors beside
// them (the app takes its tower from a CoreML package, this program takes that file). kMlxVlm holds
// the tower in the model's file and wants it in inference form. config.json is written last.
// Errors: kUsage (out is not empty; source is quantised; a tower that the layout cannot hold),
// kInvalid (a weight that F16 cannot hold), kIo.
Result<ExportReport> export_quantized(const Checkpoint& source, const std::filesystem::path& out,
                                      const ExportOptions& options, ThreadPool& pool);

}  // namespace fastvlm
