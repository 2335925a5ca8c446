// SPDX-License-Identifier: Apache-2.0
// The loss of a sequence and its gradient by the adapter, and by the projector where the adapter
// has one. Blocks are run again on the way back, as
// many as the memory for their activations allows ("gradient checkpointing"): the input of every
// k-th block is kept, and the activations of k blocks exist at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/scratch.h"
#include "language/lora.h"
#include "language/qwen2.h"
#include "train/block.h"
#include "train/projector_gradient.h"

namespace fastvlm {

// One token that the model is to learn: `id` is to follow row `row`.
struct TrainingTarget {
  int32_t row = 0;
  int32_t id = 0;
};

// Rows [length, hidden] as the decoder reads them, and what is supervised, in order of rows.
struct TrainingSequence {
  std::span<const float> rows;
  int64_t length = 0;
  std::span<const TrainingTarget> targets;
  // Where the projector learns: what it reads [tokens, inputs], and the row of the first token.
  // Those rows are then made of it.
  std::span<const float> image = {};
  int64_t image_row = 0;
};

class DecoderGradient {
 public:
  // Model and adapter must outlive this; the adapter's parameters may change between calls.
  // `checkpoint_every` 0: the activations of all blocks are kept.
  // Products are computed at f32 or bf16.
  DecoderGradient(const Qwen2& model, const LoraAdapter& adapter, int64_t checkpoint_every,
                  Arithmetic arithmetic = Arithmetic::kF32);

  // The sum of the targets' losses, nothing dropped.
  double loss(ThreadPool& pool, const TrainingSequence& sequence);
  // The same, and `gradient` += `weight` times its gradient. Elements are dropped at the adapter's
  // rate as `dropout` says; none: nothing is.
  double add_gradient(ThreadPool& pool, const TrainingSequence& sequence, float weight,
                      const std::optional<RandomStream>& dropout, std::span<float> gradient);

 private:
  PassContext context(ThreadPool& pool, const std::optional<RandomStream>& dropout);
  void prepare(int64_t rows);
  void forward(const PassContext& context, const TrainingSequence& sequence);
  void project(const PassContext& context, const TrainingSequence& sequence);
  void project_backward(const PassContext& context, const TrainingSequence& sequence,
                        std::span<float> gradient);
  void run_segment(const PassContext& context, int64_t rows, int64_t segment, float* out);
  void backward(const PassContext& context, int64_t rows, std::span<float> gradient);
  double head(const PassContext& context, const TrainingSequence& sequence, float weight,
              bool backward);

  // The projector's part of what lies as the adapter's parameters do.
  template <typename T>
  std::span<T> projector_part(std::span<T> all) const {
    return all.subspan(static_cast<size_t>(adapter_.projector_offset()));
  }
  int64_t segments() const { return (config_.layers + every_ - 1) / every_; }
  int64_t segment_end(int64_t segment) const {
    return std::min(config_.layers, (segment + 1) * every_);
  }

  const Qwen2& model_;
  const LoraAdapter& adapter_;
  const LanguageConfig& config_;
  int64_t every_;
  Arithmetic arithmetic_;
  std::vector<TrainingBlock> blocks_;
  // Working memory for sequences of up to `capacity_` rows.
  int64_t capacity_ = 0;
  std::vector<BlockActivations> activations_;       // [every_]
  std::vector<std::vector<float>> segment_inputs_;  // [segments()], [rows, hidden] each
  std::optional<BlockScratch> scratch_;
  std::vector<float> stream_;  // [rows, hidden]: the last block's output, then gradients
  std::vector<float> picked_;  // [3, targets, hidden]: rows that predict, normed, their gradients
  Scratch logits_, dropped_;
  std::optional<ProjectorGradient> projector_;
};

}  // namespace fastvlm
