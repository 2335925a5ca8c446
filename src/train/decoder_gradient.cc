// SPDX-License-Identifier: Apache-2.0
#include "train/decoder_gradient.h"

#include <algorithm>

#include "kernels/elementwise.h"
#include "train/cross_entropy.h"
#include "train/elementwise_gradients.h"

namespace fastvlm {

DecoderGradient::DecoderGradient(const Qwen2& model, const LoraAdapter& adapter,
                                 int64_t checkpoint_every, Arithmetic arithmetic)
    : model_(model),
      adapter_(adapter),
      config_(model.config()),
      every_(checkpoint_every > 0 ? std::min(checkpoint_every, config_.layers) : config_.layers),
      arithmetic_(arithmetic) {
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    blocks_.emplace_back(model, adapter, layer);
  }
  if (adapter.projector()) projector_.emplace(*adapter.projector());
}

double DecoderGradient::loss(ThreadPool& pool, const TrainingSequence& sequence) {
  const PassContext pass = context(pool, std::nullopt);
  forward(pass, sequence);
  return head(pass, sequence, 1.0F, false);
}

double DecoderGradient::add_gradient(ThreadPool& pool, const TrainingSequence& sequence,
                                     float weight, const std::optional<RandomStream>& dropout,
                                     std::span<float> gradient) {
  const PassContext pass = context(pool, dropout);
  forward(pass, sequence);
  const double sum = head(pass, sequence, weight, true);
  backward(pass, sequence.length, gradient);
  project_backward(pass, sequence, gradient);
  return sum;
}

PassContext DecoderGradient::context(ThreadPool& pool, const std::optional<RandomStream>& dropout) {
  const double rate = dropout ? adapter_.settings().dropout : 0;
  return {pool, adapter_, rate, dropout.value_or(RandomStream(0)), arithmetic_, dropped_};
}

void DecoderGradient::prepare(int64_t rows) {
  if (rows <= capacity_) return;
  activations_.clear();
  for (int64_t i = 0; i < every_; ++i) activations_.emplace_back(config_, adapter_, rows);
  const auto size = static_cast<size_t>(rows * config_.hidden_size);
  segment_inputs_.assign(static_cast<size_t>(segments()), std::vector<float>(size));
  scratch_.emplace(config_, rows);
  stream_.resize(size);
  capacity_ = rows;
}

// Leaves the last block's output in stream_ and the last segment's activations in place.
void DecoderGradient::forward(const PassContext& context, const TrainingSequence& sequence) {
  prepare(sequence.length);
  std::copy(sequence.rows.begin(), sequence.rows.end(), segment_inputs_.front().begin());
  project(context, sequence);
  for (int64_t segment = 0; segment < segments(); ++segment) {
    float* const out = segment + 1 < segments()
                           ? segment_inputs_[static_cast<size_t>(segment + 1)].data()
                           : stream_.data();
    run_segment(context, sequence.length, segment, out);
  }
}

// The picture's rows of the first block's input.
void DecoderGradient::project(const PassContext& context, const TrainingSequence& sequence) {
  if (!projector_) return;
  const auto tokens = static_cast<int64_t>(sequence.image.size()) / adapter_.projector()->inputs;
  projector_->forward(context.pool, projector_part(adapter_.parameters()), sequence.image.data(),
                      tokens,
                      segment_inputs_.front().data() + sequence.image_row * config_.hidden_size);
}

// From the gradient by the first block's input, in stream_, to the projector's.
void DecoderGradient::project_backward(const PassContext& context, const TrainingSequence& sequence,
                                       std::span<float> gradient) {
  if (!projector_) return;
  const auto tokens = static_cast<int64_t>(sequence.image.size()) / adapter_.projector()->inputs;
  projector_->backward(context.pool, projector_part(adapter_.parameters()), sequence.image.data(),
                       stream_.data() + sequence.image_row * config_.hidden_size, tokens,
                       projector_part(gradient));
}

// Runs the blocks of a segment from its kept input; `out` null: its output is known already.
void DecoderGradient::run_segment(const PassContext& context, int64_t rows, int64_t segment,
                                  float* out) {
  const std::vector<float>& input = segment_inputs_[static_cast<size_t>(segment)];
  std::copy_n(input.begin(), rows * config_.hidden_size, activations_.front().x());
  const int64_t end = segment_end(segment);
  for (int64_t layer = segment * every_; layer < end; ++layer) {
    const auto slot = static_cast<size_t>(layer - segment * every_);
    float* const y = layer + 1 < end ? activations_[slot + 1].x() : out;
    blocks_[static_cast<size_t>(layer)].forward(context, rows, activations_[slot], y);
  }
}

// From the gradient by the last block's output, in stream_, to the adapter's.
void DecoderGradient::backward(const PassContext& context, int64_t rows,
                               std::span<float> gradient) {
  for (int64_t segment = segments() - 1; segment >= 0; --segment) {
    if (segment + 1 < segments()) run_segment(context, rows, segment, nullptr);
    for (int64_t layer = segment_end(segment) - 1; layer >= segment * every_; --layer) {
      const auto slot = static_cast<size_t>(layer - segment * every_);
      blocks_[static_cast<size_t>(layer)].backward(context, rows, activations_[slot], *scratch_,
                                                   stream_.data(), gradient);
    }
  }
}

// Final norm, head and loss at the rows that predict. On the way back, stream_ becomes the gradient
// by the last block's output.
double DecoderGradient::head(const PassContext& context, const TrainingSequence& sequence,
                             float weight, bool backward) {
  const int64_t hidden = config_.hidden_size;
  const auto count = static_cast<int64_t>(sequence.targets.size());
  picked_.resize(static_cast<size_t>(3 * count * hidden));
  float* const rows = picked_.data();
  float* const normed = rows + count * hidden;
  float* const dnormed = normed + count * hidden;
  std::vector<int32_t> ids;
  for (const TrainingTarget& target : sequence.targets) {
    std::copy_n(stream_.data() + target.row * hidden, hidden,
                rows + static_cast<int64_t>(ids.size()) * hidden);
    ids.push_back(target.id);
  }
  const std::vector<float>& norm = model_.final_norm();
  rms_norm(context.pool, rows, count, hidden, norm.data(), config_.rms_norm_eps, normed);
  const double sum = cross_entropy(context.pool, model_.head(), normed, ids, weight, arithmetic_,
                                   backward ? dnormed : nullptr, logits_);
  if (!backward) return sum;
  float* const d = normed;  // no longer needed
  std::fill_n(d, count * hidden, 0.0F);
  rms_norm_backward(context.pool, rows, dnormed, count, hidden, norm.data(), config_.rms_norm_eps,
                    d);
  std::fill_n(stream_.data(), sequence.length * hidden, 0.0F);
  for (int64_t i = 0; i < count; ++i) {
    std::copy_n(d + i * hidden, hidden,
                stream_.data() + sequence.targets[static_cast<size_t>(i)].row * hidden);
  }
  return sum;
}

}  // namespace fastvlm
