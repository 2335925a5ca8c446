// SPDX-License-Identifier: Apache-2.0
#include "train/block.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "train/attention_gradients.h"

namespace fastvlm {
namespace {

constexpr size_t at(LoraTarget target) {
  return static_cast<size_t>(target);
}

int64_t largest_rank(const LanguageConfig& config, const LoraAdapter& adapter, LoraTarget target) {
  int64_t largest = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const LoraModule* module = adapter.find(layer, target);
    if (module != nullptr) largest = std::max(largest, module->rank);
  }
  return largest;
}

// Gives out consecutive pieces of a memory that is large enough for all of them.
class Pieces {
 public:
  Pieces(std::vector<float>& memory, int64_t rows, int64_t width_of_all) : rows_(rows) {
    memory.resize(static_cast<size_t>(rows * width_of_all));
    next_ = memory.data();
  }
  float* take(int64_t width) { return std::exchange(next_, next_ + rows_ * width); }

 private:
  int64_t rows_;
  float* next_;
};

}  // namespace

BlockActivations::BlockActivations(const LanguageConfig& config, const LoraAdapter& adapter,
                                   int64_t rows) {
  const int64_t hidden = config.hidden_size;
  const int64_t heads = config.heads * config.head_dim;
  const int64_t kv_heads = config.kv_heads * config.head_dim;
  const int64_t wide = config.intermediate_size;
  const std::array<int64_t, kParts> widths = {hidden, hidden, heads, kv_heads, kv_heads, heads,
                                              hidden, hidden, wide,  wide,     wide};
  std::array<int64_t, kLoraTargets> ranks{};
  int64_t all = 0;
  for (const int64_t width : widths) all += width;
  for (size_t i = 0; i < kLoraTargets; ++i) {
    ranks[i] = largest_rank(config, adapter, static_cast<LoraTarget>(i));
    all += ranks[i];
  }
  Pieces pieces(memory_, rows, all);
  for (size_t i = 0; i < kParts; ++i) parts_[i] = pieces.take(widths[i]);
  for (size_t i = 0; i < kLoraTargets; ++i) inner_[i] = pieces.take(ranks[i]);
}

BlockScratch::BlockScratch(const LanguageConfig& config, int64_t rows) {
  const int64_t heads = config.heads * config.head_dim;
  const int64_t kv_heads = config.kv_heads * config.head_dim;
  Pieces pieces(memory_, rows,
                config.intermediate_size + config.hidden_size + 2 * heads + 2 * kv_heads);
  wide_ = pieces.take(config.intermediate_size);
  normed_ = pieces.take(config.hidden_size);
  heads_ = pieces.take(heads);
  q_ = pieces.take(heads);
  k_ = pieces.take(kv_heads);
  v_ = pieces.take(kv_heads);
}

TrainingBlock::TrainingBlock(const Qwen2& model, const LoraAdapter& adapter, int64_t layer)
    : config_(model.config()),
      layer_(model.layer(layer)),
      linears_{{{layer_.q, adapter.find(layer, LoraTarget::kQ)},
                {layer_.k, adapter.find(layer, LoraTarget::kK)},
                {layer_.v, adapter.find(layer, LoraTarget::kV)},
                {layer_.o, adapter.find(layer, LoraTarget::kO)},
                {layer_.gate, adapter.find(layer, LoraTarget::kGate)},
                {layer_.up, adapter.find(layer, LoraTarget::kUp)},
                {layer_.down, adapter.find(layer, LoraTarget::kDown)}}} {}

AttentionShape TrainingBlock::attention_shape(int64_t rows) const {
  return {.queries = rows,
          .keys = rows,
          .heads = config_.heads,
          .kv_heads = config_.kv_heads,
          .head_dim = config_.head_dim,
          .scale = 1.0F / std::sqrt(static_cast<float>(config_.head_dim)),
          .causal = true};
}

void TrainingBlock::forward(const PassContext& context, int64_t rows, BlockActivations& activations,
                            float* y) const {
  using Part = BlockActivations::Part;
  ThreadPool& pool = context.pool;
  const auto part = [&](Part index) { return activations.parts_[index]; };
  const auto run = [&](LoraTarget target, Part from, Part to, const float* residual = nullptr) {
    linear(target).forward(context, part(from), rows, activations.inner_[at(target)], part(to),
                           residual);
  };
  const int64_t hidden = config_.hidden_size;
  const int64_t q_width = config_.heads * config_.head_dim;
  const int64_t kv_width = config_.kv_heads * config_.head_dim;

  rms_norm(pool, part(Part::kX), rows, hidden, layer_.attention_norm.data(), config_.rms_norm_eps,
           part(Part::kNormed));
  run(LoraTarget::kQ, Part::kNormed, Part::kQ);
  run(LoraTarget::kK, Part::kNormed, Part::kK);
  run(LoraTarget::kV, Part::kNormed, Part::kV);
  rope(pool, part(Part::kQ), rows, q_width, config_.heads, config_.head_dim, 0, config_.rope_theta);
  rope(pool, part(Part::kK), rows, kv_width, config_.kv_heads, config_.head_dim, 0,
       config_.rope_theta);
  attention(pool, attention_shape(rows), part(Part::kQ), q_width, part(Part::kK), kv_width,
            part(Part::kV), kv_width, part(Part::kAttended), q_width);
  run(LoraTarget::kO, Part::kAttended, Part::kMid, part(Part::kX));

  rms_norm(pool, part(Part::kMid), rows, hidden, layer_.mlp_norm.data(), config_.rms_norm_eps,
           part(Part::kNormedMid));
  run(LoraTarget::kGate, Part::kNormedMid, Part::kGate);
  run(LoraTarget::kUp, Part::kNormedMid, Part::kUp);
  std::copy_n(part(Part::kGate), rows * config_.intermediate_size, part(Part::kGated));
  silu_multiply(pool, part(Part::kGated), part(Part::kUp), rows * config_.intermediate_size);
  linear(LoraTarget::kDown)
      .forward(context, part(Part::kGated), rows, activations.inner_[at(LoraTarget::kDown)], y,
               part(Part::kMid));
}

void TrainingBlock::backward(const PassContext& context, int64_t rows,
                             BlockActivations& activations, BlockScratch& scratch, float* d,
                             std::span<float> gradient) const {
  feed_forward_backward(context, rows, activations, scratch, d, gradient);
  attend_backward(context, rows, activations, scratch, d, gradient);
}

// From the gradient by y to that by mid.
void TrainingBlock::feed_forward_backward(const PassContext& context, int64_t rows,
                                          BlockActivations& activations, BlockScratch& scratch,
                                          float* d, std::span<float> gradient) const {
  using Part = BlockActivations::Part;
  const auto& parts = activations.parts_;
  const auto& inner = activations.inner_;
  float* const dgate = parts[Part::kGate];
  float* const dup = parts[Part::kUp];
  linear(LoraTarget::kDown)
      .backward(context, parts[Part::kGated], inner[at(LoraTarget::kDown)], d, rows, scratch.wide_,
                false, gradient);
  gated_backward(context.pool, scratch.wide_, rows * config_.intermediate_size, dgate, dup);
  linear(LoraTarget::kUp)
      .backward(context, parts[Part::kNormedMid], inner[at(LoraTarget::kUp)], dup, rows,
                scratch.normed_, false, gradient);
  linear(LoraTarget::kGate)
      .backward(context, parts[Part::kNormedMid], inner[at(LoraTarget::kGate)], dgate, rows,
                scratch.normed_, true, gradient);
  rms_norm_backward(context.pool, parts[Part::kMid], scratch.normed_, rows, config_.hidden_size,
                    layer_.mlp_norm.data(), config_.rms_norm_eps, d);
}

// From the gradient by mid to that by x.
void TrainingBlock::attend_backward(const PassContext& context, int64_t rows,
                                    BlockActivations& activations, BlockScratch& scratch, float* d,
                                    std::span<float> gradient) const {
  using Part = BlockActivations::Part;
  const auto& parts = activations.parts_;
  ThreadPool& pool = context.pool;
  linear(LoraTarget::kO)
      .backward(context, parts[Part::kAttended], activations.inner_[at(LoraTarget::kO)], d, rows,
                scratch.heads_, false, gradient);
  attention_backward(pool, attention_shape(rows),
                     {parts[Part::kQ], parts[Part::kK], parts[Part::kV]}, scratch.heads_,
                     {scratch.q_, scratch.k_, scratch.v_}, scratch.attention_);
  rope_backward(pool, scratch.q_, rows, config_.heads * config_.head_dim, config_.heads,
                config_.head_dim, 0, config_.rope_theta);
  rope_backward(pool, scratch.k_, rows, config_.kv_heads * config_.head_dim, config_.kv_heads,
                config_.head_dim, 0, config_.rope_theta);
  const std::pair<LoraTarget, const float*> sources[] = {
      {LoraTarget::kQ, scratch.q_}, {LoraTarget::kK, scratch.k_}, {LoraTarget::kV, scratch.v_}};
  for (const auto& [target, dy] : sources) {
    linear(target).backward(context, parts[Part::kNormed], activations.inner_[at(target)], dy, rows,
                            scratch.normed_, target != LoraTarget::kQ, gradient);
  }
  rms_norm_backward(pool, parts[Part::kX], scratch.normed_, rows, config_.hidden_size,
                    layer_.attention_norm.data(), config_.rms_norm_eps, d);
}

}  // namespace fastvlm
