// SPDX-License-Identifier: Apache-2.0
// A training run from its first or next step to its end: metrics, checkpoints, evaluation.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "train/image_tokens.h"
#include "train/run_files.h"
#include "train/samples.h"
#include "train/trainer.h"

namespace fastvlm {

// Samples whose pictures' tokens are kept in a cache.
class SampleData : public TrainingData {
 public:
  // `tokens` are the cache's names of the samples' pictures, in order. Cache and model must outlive
  // this.
  SampleData(std::vector<TrainingSample> samples, std::vector<std::string> tokens,
             const ImageTokenCache& cache, const Qwen2& model);

  size_t size() const override { return samples_.size(); }
  const TrainingSample& sample(size_t index) const { return samples_[index]; }
  std::string name(size_t sample) const override { return samples_[sample].origin; }
  int64_t length(size_t sample) const override { return samples_[sample].length; }
  std::span<const TrainingTarget> targets(size_t sample) const override {
    return samples_[sample].targets;
  }
  Result<SampleRows> rows(size_t sample) const override;

  int64_t pictures() const;  // different ones
  // A digest of everything that the samples say.
  std::string digest() const;

 private:
  std::vector<TrainingSample> samples_;
  std::vector<std::string> tokens_;
  const ImageTokenCache& cache_;
  const Qwen2& model_;
};

struct RunOptions {
  RunSettings settings;
  int64_t save_every = 50;     // steps; the last step is always saved
  int64_t evaluate_every = 0;  // steps, and after the last one; 0: never
  const TrainingData* evaluation = nullptr;
  std::function<bool()> stop;  // asked after every step: whether to save and end here
  // Called after every step, with the loss on the evaluation's samples where it was computed.
  std::function<void(const StepReport& report, std::optional<double> evaluation)> on_step;
  std::function<Status()> on_save;  // called after every checkpoint; an error ends the run
};

// Runs the trainer's remaining steps, with all members of its team. `folder` is null but for the
// one who leads. kInterrupted where any `stop` said so; what was done is saved.
Status run_training(Trainer& trainer, RunFolder* folder, const RunOptions& options);

}  // namespace fastvlm
