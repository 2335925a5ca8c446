// SPDX-License-Identifier: Apache-2.0
// Fine-tuning, step by step. Goals: the semantics of Hugging Face's Trainer, so that runs compare;
// the same numbers whatever the number of threads and of processes that share the work
// (summation_tree.h); everything random is a function of seed, step and place, so that a state is
// parameters, moments and a count of steps, nothing more. Non-goals: files (training_run.h), what a
// sample is made of (samples.h).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "language/lora.h"
#include "train/decoder_gradient.h"
#include "train/optimizer.h"
#include "train/schedule.h"
#include "train/summation_tree.h"
#include "train/team.h"

namespace fastvlm {

struct TrainerSettings {
  double learning_rate = 2e-4;
  double weight_decay = 0;
  double warmup_ratio = 0.03;
  double largest_norm = 1;  // of a gradient; longer ones are scaled down
  int64_t epochs = 1;
  int64_t batch_size = 8;
  int64_t accumulation = 1;                  // batches a step
  int64_t checkpoint_every = 1;              // blocks, as DecoderGradient has it
  Arithmetic arithmetic = Arithmetic::kF32;  // of products: f32 or bf16
  uint64_t seed = 0;
  bool shuffle = true;
};

// What the decoder reads of a sample, as TrainingSequence has it.
struct SampleRows {
  std::vector<float> rows;   // [length, hidden]
  std::vector<float> image;  // [tokens, inputs of the projector], where that learns
  int64_t image_row = 0;
};

// What the trainer learns from: samples with an index.
class TrainingData {
 public:
  virtual ~TrainingData() = default;

  virtual size_t size() const = 0;
  // "data.jsonl:12", for messages.
  virtual std::string name(size_t sample) const = 0;
  virtual int64_t length(size_t sample) const = 0;  // rows
  virtual std::span<const TrainingTarget> targets(size_t sample) const = 0;
  virtual Result<SampleRows> rows(size_t sample) const = 0;
};

struct StepReport {
  int64_t step = 0;  // from 1
  double loss = 0;   // the mean over supervised tokens
  double rate = 0;
  double norm = 0;     // of the gradient, before it was scaled down
  int64_t tokens = 0;  // supervised
  int64_t positions = 0;
};

class Trainer {
 public:
  // All must outlive the trainer; `data` is not empty. All members of the team make the same calls
  // of step() and evaluate(), with the same parameters, data and settings, and get the same
  // results.
  Trainer(ThreadPool& pool, const Qwen2& model, LoraAdapter& adapter, const TrainingData& data,
          const TrainerSettings& settings, Team& team);

  Team& team() { return team_; }
  int64_t total_steps() const { return schedule_.total; }
  int64_t steps_done() const { return optimizer_.steps(); }

  // Parameters, moments and count of steps of the team's first member, in all members.
  void spread();

  // The next step. An error (kInvalid) where loss or gradient are not finite, which names step and
  // sample; the parameters are as before the step then.
  Result<StepReport> step();

  // Whether the adapter can learn at all, tried on one sample before training: the gradient of
  // lora_B is not zero, and a short way down it the loss is lower. The parameters stay as they are.
  // To be called before the first step.
  Status self_test();

  // The mean loss over the supervised tokens of all samples, nothing dropped.
  Result<double> evaluate(const TrainingData& data);

  // Parameters and moments, for checkpoints.
  std::span<float> parameters() { return adapter_.parameters(); }
  AdamW& optimizer() { return optimizer_; }

 private:
  // What a step's samples need, and where the sums of their losses go.
  struct StepWork {
    int64_t step;
    std::span<const size_t> samples;
    float weight;
    std::span<double> losses;
  };

  std::vector<size_t> samples_of_step(int64_t step) const;
  Result<double> add_sample(int64_t step, size_t sample, uint64_t place, float weight,
                            std::span<float> gradient);
  Status add_subtree(const StepWork& work, int64_t begin, int64_t count, size_t depth);
  void combine(const TreeShare& share);
  Status not_finite(int64_t step, std::span<const size_t> samples);

  ThreadPool& pool_;
  LoraAdapter& adapter_;
  const TrainingData& data_;
  TrainerSettings settings_;
  CosineSchedule schedule_;
  DecoderGradient model_;
  AdamW optimizer_;
  Team& team_;
  // One for each level of the summation tree that is needed; the first becomes the step's gradient.
  std::vector<std::vector<float>> gradients_;
};

}  // namespace fastvlm
