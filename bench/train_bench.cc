// SPDX-License-Identifier: Apache-2.0
// Times steps of fine-tuning on a language model of real size: the card's adapter (rank 128 on all
// linear layers, dropout 0.1), made-up samples of LENGTH positions of which SUPERVISED are learnt.
//   train_bench MODEL fp32|bf16 BATCH LENGTH SUPERVISED EVERY THREADS STEPS
// EVERY is train's --gradient-checkpointing. A step warms up, then STEPS are timed, and their
// seconds printed as JSON: {"step": [...]}.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/stopwatch.h"
#include "formats/checkpoint.h"
#include "must.h"
#include "train/trainer.h"

namespace fastvlm {
namespace {

using bench::must;

class MadeUpSamples : public TrainingData {
 public:
  MadeUpSamples(const Qwen2& model, size_t samples, int64_t length, int64_t supervised)
      : model_(model), samples_(samples), length_(length) {
    for (int64_t row = length - supervised; row < length; ++row) {
      targets_.push_back({static_cast<int32_t>(row - 1), id(row)});
    }
  }

  size_t size() const override { return samples_; }
  std::string name(size_t sample) const override { return "sample " + std::to_string(sample); }
  int64_t length(size_t) const override { return length_; }
  std::span<const TrainingTarget> targets(size_t) const override { return targets_; }
  Result<SampleRows> rows(size_t) const override {
    std::vector<int32_t> ids;
    for (int64_t row = 0; row < length_; ++row) ids.push_back(id(row));
    std::vector<float> rows(static_cast<size_t>(length_ * model_.config().hidden_size));
    FASTVLM_RETURN_IF_ERROR(model_.embed(ids, rows.data()));
    return SampleRows{std::move(rows), {}, 0};
  }

 private:
  int32_t id(int64_t row) const {
    return static_cast<int32_t>(row * 7919 % model_.config().vocab_size);
  }

  const Qwen2& model_;
  size_t samples_;
  int64_t length_;
  std::vector<TrainingTarget> targets_;
};

void run(const std::string& folder, bool bf16, int64_t batch, int64_t length, int64_t supervised,
         int64_t every, int threads, int64_t steps) {
  ThreadPool pool(threads);
  const Qwen2 model = must(Qwen2::load(must(Checkpoint::open(folder)), pool, Arithmetic::kF32));
  LoraAdapter adapter = must(LoraAdapter::create(model.config(), LoraSettings{}));
  adapter.initialize(0);
  const MadeUpSamples data(model, static_cast<size_t>(batch), length, supervised);
  TrainerSettings settings;
  settings.batch_size = batch;
  settings.checkpoint_every = every;
  settings.epochs = steps + 1;
  settings.arithmetic = bf16 ? Arithmetic::kBf16 : Arithmetic::kF32;
  Team alone;
  Trainer trainer(pool, model, adapter, data, settings, alone);
  std::string seconds;
  for (int64_t step = 0; step <= steps; ++step) {
    const Stopwatch watch;
    const StepReport report = must(trainer.step());
    std::fprintf(stderr, "step %lld: loss %.4f, %.2f s\n", static_cast<long long>(report.step),
                 report.loss, watch.seconds());
    if (step > 0) seconds += (step > 1 ? ", " : "") + std::to_string(watch.seconds());
  }
  std::printf("{\"step\": [%s]}\n", seconds.c_str());
}

}  // namespace
}  // namespace fastvlm

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fprintf(stderr,
                 "train_bench MODEL fp32|bf16 BATCH LENGTH SUPERVISED EVERY THREADS STEPS\n");
    return 1;
  }
  const auto number = [&](int index) { return std::atoll(argv[index]); };
  fastvlm::run(argv[1], std::string(argv[2]) == "bf16", number(3), number(4), number(5), number(6),
               static_cast<int>(number(7)), number(8));
}
