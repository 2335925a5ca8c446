// SPDX-License-Identifier: Apache-2.0
// The model, adapter and samples of tests/goldens/train.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/strings.h"
#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "language/adapter_file.h"
#include "language/qwen2.h"
#include "support/files.h"
#include "train/trainer.h"

namespace fastvlm::test {

template <typename T>
T must(Result<T> result) {
  if (!result.ok()) throw std::runtime_error(result.status().message);
  return std::move(result).value();
}

inline Qwen2 golden_model(ThreadPool& pool) {
  return must(Qwen2::load(must(Checkpoint::open(golden("train"))), pool));
}
inline LoraAdapter golden_adapter(const Qwen2& model, const std::string& name = "adapter") {
  return must(load_adapter(golden("train/" + name), model.config()));
}

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& name = "golden")
      : file_(must(SafetensorsFile::open(golden("train/" + name + ".safetensors")))) {}

  std::vector<float> floats(const std::string& name) const {
    return must(to_floats(*file_.find(name), name));
  }
  std::vector<int32_t> integers(const std::string& name) const {
    const TensorView* tensor = file_.find(name);
    std::vector<int32_t> values(tensor->bytes.size() / sizeof(int32_t));
    std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
    return values;
  }

 private:
  SafetensorsFile file_;
};

// With `projected` the samples' images are what the projector reads.
class GoldenData : public TrainingData {
 public:
  explicit GoldenData(const Qwen2& model, size_t count = 8, bool projected = false) {
    const GoldenFile golden;
    const GoldenFile unprojected("golden_projector");
    const auto hidden = static_cast<size_t>(model.config().hidden_size);
    for (size_t i = 0; i < count; ++i) {
      const std::string name = cat("sample.", i);
      const std::vector<int32_t> ids = golden.integers(name + ".ids");
      const std::vector<float> image = golden.floats(name + ".image");
      Sample sample;
      if (projected) sample.image = unprojected.floats(name + ".image");
      for (const int32_t id : ids) {
        if (id == -200) {
          sample.image_row = static_cast<int64_t>(sample.rows.size() / hidden);
          sample.rows.insert(sample.rows.end(), image.begin(), image.end());
          continue;
        }
        sample.rows.resize(sample.rows.size() + hidden);
        if (!model.embed({&id, 1}, &*sample.rows.end() - hidden).ok()) throw std::out_of_range("");
      }
      const auto rows = static_cast<int32_t>(sample.rows.size() / hidden);
      const int32_t answer = golden.integers(name + ".supervised").front();
      for (int32_t row = rows - answer - 1; row + 1 < rows; ++row) {
        const auto back = static_cast<size_t>(rows - row - 1);
        sample.targets.push_back({row, ids[ids.size() - back]});
      }
      sample.length = rows;
      samples_.push_back(std::move(sample));
    }
  }

  size_t size() const override { return samples_.size(); }
  std::string name(size_t sample) const override { return cat("golden:", sample); }
  int64_t length(size_t sample) const override { return samples_[sample].length; }
  std::span<const TrainingTarget> targets(size_t sample) const override {
    return samples_[sample].targets;
  }
  Result<SampleRows> rows(size_t sample) const override { return samples_[sample]; }

  TrainingSequence sequence(size_t sample) const {
    const Sample& found = samples_[sample];
    return {found.rows, found.length, found.targets, found.image, found.image_row};
  }
  std::vector<float>& rows_to_damage(size_t sample) { return samples_[sample].rows; }

 private:
  struct Sample : SampleRows {
    std::vector<TrainingTarget> targets;
    int64_t length = 0;
  };
  std::vector<Sample> samples_;
};

inline TrainerSettings golden_settings() {
  TrainerSettings settings;
  settings.learning_rate = 5e-3;
  settings.weight_decay = 0.01;
  settings.warmup_ratio = 0.15;
  settings.epochs = 5;
  settings.batch_size = 2;
  settings.accumulation = 2;
  settings.shuffle = false;
  return settings;
}

}  // namespace fastvlm::test
