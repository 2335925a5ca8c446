// SPDX-License-Identifier: Apache-2.0
// An adapter written into the weights of the model that it was trained on: W + scale * B A, summed
// in f32, and the projector that it brings. Goals: nothing of the model is lost (tower, projector,
// tokenizer come along), memory stays at a few rows of a matrix, and the result is held against
// model and adapter side by side.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "language/lora.h"

namespace fastvlm {

struct MergeOptions {
  float strength = 1;          // of the adapter
  std::optional<DType> dtype;  // kF32, kF16 or kBF16; none: that of the base's linear layers
  bool dequantize = false;     // accept a quantised base; its errors stay in the result
  int64_t shard_bytes = 5'000'000'000;  // of a weight file, at most, unless one tensor is larger
};

struct AdapterMergeReport {
  int64_t adapted = 0;     // matrices
  bool projector = false;  // whether the adapter brought one
  int64_t bytes = 0;
  DType dtype = DType::kF32;
  std::vector<std::string> files;
};

// Writes `out`, which must be absent or empty, in Apple's LLaVA layout; config.json last. Errors:
// kUsage (out is not empty; a quantised base without `dequantize`), kInvalid (a sum that the type
// cannot hold; an adapter of another shape), kIo.
Result<AdapterMergeReport> merge_adapter(const Checkpoint& base, const LoraAdapter& adapter,
                                         const std::filesystem::path& out,
                                         const MergeOptions& options, ThreadPool& pool);

}  // namespace fastvlm
