// SPDX-License-Identifier: Apache-2.0
// The vision towers: FastViTHD and MobileCLIP-S0, one family written out once (docs/MODEL.md
// section 1). Goals: any size that the stride divides, square or not; training or inference form;
// stages, widths, ratios and norms all read from the checkpoint's names and shapes; memory planned
// before the pass. Non-goals: other architectures, batches, the classification head, fp16
// activations (FastViTHD reaches 6e4 in its late stages).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "kernels/precision.h"
#include "vision/tokens.h"

namespace fastvlm {

struct TowerModules;

class VisionTower {
 public:
  // Packs the tower of `checkpoint` (vision.*) and lets go of its file pages. A tensor that is
  // missing, of the wrong shape or unknown to this family is an error.
  // Linear layers compute with `arithmetic` (at int8 those of the stem and the downsamplings with
  // bf16), the rest with f32.
  static Result<VisionTower> load(const Checkpoint& checkpoint, ThreadPool& pool,
                                  Arithmetic arithmetic = Arithmetic::kF32);

  VisionTower(VisionTower&&) noexcept;
  VisionTower& operator=(VisionTower&&) noexcept;
  ~VisionTower();

  int64_t stride() const;           // pixels a token along each side; sides are multiples of it
  int64_t channels() const;         // width of a token
  int64_t parameters() const;       // as stored, without head and running statistics
  bool is_training_form() const;    // as stored; it was folded at load
  const std::string& kind() const;  // "FastViTHD topology, 5 stages 2-12-24-4-2, widths 96-192-..."

  int64_t token_count(int64_t height, int64_t width) const;
  // Bytes that encode() holds besides the weights, its input and its result: two maps of the
  // largest stage, which stay with the tower for the next call. FastViTHD at 1024x1024: 50,331,648.
  int64_t workspace_bytes(int64_t height, int64_t width) const;

  // Multiplications of a pass over such an image, each with its addition. FastViTHD at 1024x1024:
  // 243.35e9; MobileCLIP-S0 at 256x256: 2.385e9.
  int64_t multiply_adds(int64_t height, int64_t width) const;

  // pixels [height, width, 3], RGB, preprocessed. Several calls may run at once, each with its own
  // pool. The result does not depend on the number of threads. With a sink every module's output
  // is shown to it, which costs time and memory.
  Result<Tokens> encode(const float* pixels, int64_t height, int64_t width, ThreadPool& pool,
                        const StageSink& sink = {}) const;

 private:
  explicit VisionTower(std::unique_ptr<const TowerModules> modules);

  struct KeptMaps;

  std::unique_ptr<const TowerModules> modules_;
  std::unique_ptr<KeptMaps> kept_;
};

}  // namespace fastvlm
