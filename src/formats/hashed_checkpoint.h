// SPDX-License-Identifier: Apache-2.0
// Whole checkpoints of real widths whose weights are an integer hash of tensor name and position:
// anyone can make them again anywhere, bit for bit, without a download. They say nothing sensible,
// but they run, so that speed, memory and exactness can be measured on them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/safetensors.h"

namespace fastvlm {

// The values of one tensor. FNV-1a of salt + name seeds a splitmix64 sequence over the flat
// row-major index; centre and spread follow from the name (docs/FORMATS.md has the table).
class HashedTensor {
 public:
  HashedTensor(std::string_view salt, std::string_view name, const std::vector<int64_t>& shape);

  float value(int64_t index) const;
  // Uniform in [0, 1), a multiple of 2^-24: what value() is made from.
  double unit(int64_t index) const;

 private:
  uint64_t hash_;
  double centre_ = 0;
  double spread_ = 0;
  int64_t kernel_ = 0;  // elements of the kernel whose centre gets 1 added; 0 for none
};

enum class HashedTower { kFastVitHd, kMobileClipS0 };

struct HashedCheckpointOptions {
  HashedTower tower = HashedTower::kFastVitHd;
  bool untied = false;
  // 32: F32, 16: BF16, both in Apple's LLaVA layout; 8 and 4: MLX export in the naming of Apple's
  // patch (group 64, scales F16), with the tower beside it as vision_tower.safetensors in F16.
  int bits = 16;
  std::string salt;
};

// What model.safetensors of such a checkpoint holds, in order.
std::vector<TensorDeclaration> hashed_checkpoint_tensors(const HashedCheckpointOptions& options);

// Writes config.json, model.safetensors and, with 4 or 8 bits, vision_tower.safetensors into
// `folder`, which is created. Memory stays below 200 MB; each file appears when it is whole.
Status write_hashed_checkpoint(const std::filesystem::path& folder,
                               const HashedCheckpointOptions& options, ThreadPool& pool);

}  // namespace fastvlm
