// SPDX-License-Identifier: Apache-2.0
// One block of the decoder, both ways (docs/MODEL.md, section 3):
//   mid = x + o(attention(q, k, v of norm(x)))
//   y = mid + down(silu(gate(norm(mid))) * up(norm(mid)))
#pragma once

#include <array>
#include <span>
#include <vector>

#include "language/qwen2.h"
#include "train/lora_linear.h"

namespace fastvlm {

// What a block keeps of one sequence on the way forward, and needs on the way back.
class BlockActivations {
 public:
  BlockActivations(const LanguageConfig& config, const LoraAdapter& adapter, int64_t rows);

  float* x() { return parts_[kX]; }  // [rows, hidden], the block's input

 private:
  friend class TrainingBlock;
  enum Part { kX, kNormed, kQ, kK, kV, kAttended, kMid, kNormedMid, kGate, kUp, kGated, kParts };

  std::vector<float> memory_;
  std::array<float*, kParts> parts_{};        // [rows, width of the part]
  std::array<float*, kLoraTargets> inner_{};  // [rows, largest rank of the target]
};

// Gradients on their way through a block; one serves all blocks.
class BlockScratch {
 public:
  BlockScratch(const LanguageConfig& config, int64_t rows);

 private:
  friend class TrainingBlock;
  std::vector<float> memory_;
  float* wide_;    // [rows, intermediate]
  float* normed_;  // [rows, hidden]
  float* heads_;   // [rows, heads * head_dim]
  float* q_;       // [rows, heads * head_dim]
  float* k_;       // [rows, kv_heads * head_dim]
  float* v_;       // [rows, kv_heads * head_dim]
  Scratch attention_;
};

class TrainingBlock {
 public:
  TrainingBlock(const Qwen2& model, const LoraAdapter& adapter, int64_t layer);

  // From activations.x() to y [rows, hidden], which may be null: then the last product, which only
  // the next block needs, is left out.
  void forward(const PassContext& context, int64_t rows, BlockActivations& activations,
               float* y) const;
  // `d` [rows, hidden], the gradient by y, becomes that by x; those of the adapter are added to
  // `gradient`. Uses the activations up.
  void backward(const PassContext& context, int64_t rows, BlockActivations& activations,
                BlockScratch& scratch, float* d, std::span<float> gradient) const;

 private:
  AttentionShape attention_shape(int64_t rows) const;
  const LoraLinear& linear(LoraTarget target) const {
    return linears_[static_cast<size_t>(target)];
  }
  void feed_forward_backward(const PassContext& context, int64_t rows,
                             BlockActivations& activations, BlockScratch& scratch, float* d,
                             std::span<float> gradient) const;
  void attend_backward(const PassContext& context, int64_t rows, BlockActivations& activations,
                       BlockScratch& scratch, float* d, std::span<float> gradient) const;

  const LanguageConfig& config_;
  const Qwen2::Layer& layer_;
  std::array<LoraLinear, kLoraTargets> linears_;
};

}  // namespace fastvlm
