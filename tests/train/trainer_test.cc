// SPDX-License-Identifier: Apache-2.0
// Training as a whole: against PyTorch's trace, with blocks kept or run again, on any number of
// threads, and where it must stop.
#include "train/trainer.h"

#include <gmock/gmock.h>

#include <limits>

#include "kernels/precision.h"
#include "train/golden_train.h"
#include "train/thread_team.h"

namespace fastvlm {
namespace {

using test::golden_adapter;
using test::golden_model;
using test::golden_settings;
using test::GoldenData;
using testing::AllOf;
using testing::HasSubstr;

void expect_relative(double found, float expected, const std::string& what) {
  EXPECT_NEAR(found, static_cast<double>(expected), 1e-4 * std::abs(static_cast<double>(expected)))
      << what;
}

// Parts of `values` laid out as the adapter's parameters, against golden tensors `<kind>.<name>`.
void expect_tensors(const test::GoldenFile& golden, const LoraAdapter& adapter,
                    std::span<const float> values, const std::string& kind) {
  const auto compare = [&](const std::string& name, int64_t offset, int64_t size) {
    const std::vector<float> expected = golden.floats(cat(kind, ".", name));
    ASSERT_EQ(static_cast<int64_t>(expected.size()), size);
    float largest = 0;
    for (const float value : expected) largest = std::max(largest, std::abs(value));
    for (int64_t i = 0; i < size; ++i) {
      ASSERT_NEAR(values[static_cast<size_t>(offset + i)], expected[static_cast<size_t>(i)],
                  1e-4F * largest)
          << kind << " " << name << " " << i;
    }
  };
  for (const LoraModule& module : adapter.modules()) {
    compare(module.name + ".lora_A.weight", module.a, module.a_size());
    compare(module.name + ".lora_B.weight", module.b, module.b_size());
  }
  if (!adapter.projector()) return;
  for (const ProjectorShape::Tensor& tensor : adapter.projector()->tensors()) {
    compare("model.mm_projector." + tensor.name, adapter.projector_offset() + tensor.offset,
            tensor.size());
  }
}

// The golden runs: with a frozen projector, and with one that learns.
struct GoldenRun {
  std::string adapter;
  std::string file;
};
const GoldenRun kGoldenRuns[] = {{"adapter", "golden"}, {"adapter_projector", "golden_projector"}};

TEST(DecoderGradient, IsPyTorchs) {
  ThreadPool pool(2);
  const Qwen2 model = golden_model(pool);
  for (const GoldenRun& run : kGoldenRuns) {
    const test::GoldenFile golden(run.file);
    const LoraAdapter adapter = golden_adapter(model, run.adapter);
    const GoldenData data(model, 8, adapter.projector().has_value());
    size_t tokens = 0;
    for (size_t i = 0; i < 4; ++i) tokens += data.targets(i).size();
    for (const int64_t every : {0, 1, 2, 3}) {
      SCOPED_TRACE(cat(run.adapter, ", checkpoints every ", every));
      DecoderGradient decoder(model, adapter, every);
      std::vector<float> gradient(adapter.parameters().size());
      double loss = 0;
      for (size_t i = 0; i < 4; ++i) {
        const TrainingSequence sequence = data.sequence(i);
        const double sum = decoder.add_gradient(pool, sequence, 1.0F / static_cast<float>(tokens),
                                                RandomStream(1), gradient);
        EXPECT_EQ(sum, decoder.loss(pool, sequence));
        loss += sum;
      }
      expect_relative(loss / static_cast<double>(tokens), golden.floats("losses").front(), "loss");
      expect_tensors(golden, adapter, gradient, "gradient");
    }
  }
}

TEST(Trainer, TenStepsArePyTorchs) {
  ThreadPool pool(2);
  const Qwen2 model = golden_model(pool);
  for (const GoldenRun& run : kGoldenRuns) {
    SCOPED_TRACE(run.adapter);
    LoraAdapter adapter = golden_adapter(model, run.adapter);
    const GoldenData data(model, 8, adapter.projector().has_value());
    Team team;
    Trainer trainer(pool, model, adapter, data, golden_settings(), team);
    ASSERT_EQ(trainer.total_steps(), 10);
    ASSERT_TRUE(trainer.self_test().ok());
    const test::GoldenFile golden(run.file);
    const std::vector<float> losses = golden.floats("losses");
    const std::vector<float> norms = golden.floats("norms");
    const std::vector<float> rates = golden.floats("rates");
    for (size_t i = 0; i < 10; ++i) {
      const auto report = trainer.step();
      ASSERT_TRUE(report.ok()) << report.status().message;
      EXPECT_EQ(report->step, static_cast<int64_t>(i) + 1);
      expect_relative(report->loss, losses[i], cat("loss of step ", i));
      expect_relative(report->norm, norms[i], cat("norm of step ", i));
      expect_relative(report->rate, rates[i], cat("rate of step ", i));
    }
    expect_tensors(golden, adapter, adapter.parameters(), "final");
  }
}

LoraAdapter fresh_adapter(const Qwen2& model, double dropout) {
  LoraSettings settings;
  settings.rank = 4;
  settings.alpha = 8;
  settings.dropout = dropout;
  LoraAdapter adapter = test::must(LoraAdapter::create(model.config(), settings));
  adapter.initialize(3);
  return adapter;
}

// The parameters, losses and norms of a shuffled run with dropout, by one of a team.
std::vector<double> trained(int threads, int64_t checkpoint_every, uint64_t seed, Team& team,
                            bool projected = false) {
  ThreadPool pool(threads);
  const Qwen2 model = golden_model(pool);
  LoraAdapter adapter =
      projected ? golden_adapter(model, "adapter_projector") : fresh_adapter(model, 0.2);
  adapter.set_dropout(0.2);
  const GoldenData data(model, 7, projected);
  TrainerSettings settings = golden_settings();
  settings.shuffle = true;
  settings.epochs = 2;
  settings.seed = seed;
  settings.checkpoint_every = checkpoint_every;
  Trainer trainer(pool, model, adapter, data, settings, team);
  EXPECT_EQ(trainer.total_steps(), 4);  // the last step of an epoch has three samples
  std::vector<double> result;
  while (trainer.steps_done() < trainer.total_steps()) {
    const auto report = trainer.step();
    EXPECT_TRUE(report.ok());
    result.insert(result.end(), {report->loss, report->norm});
  }
  result.push_back(*trainer.evaluate(data));
  result.insert(result.end(), adapter.parameters().begin(), adapter.parameters().end());
  return result;
}

TEST(Trainer, GivesTheSameBitsOnAnyNumberOfThreadsAndWithAnyCheckpoints) {
  Team team;
  const std::vector<double> expected = trained(1, 1, 5, team);
  EXPECT_EQ(trained(3, 1, 5, team), expected);
  EXPECT_EQ(trained(2, 0, 5, team), expected);
  EXPECT_EQ(trained(2, 2, 5, team), expected);
  EXPECT_NE(trained(1, 1, 6, team), expected);
}

TEST(Trainer, GivesTheSameBitsInTeamsOfAnySize) {
  for (const bool projected : {false, true}) {
    Team alone;
    const std::vector<double> expected = trained(1, 1, 5, alone, projected);
    for (const int size : {2, 3, 4}) {
      test::run_team(size, [&](Team& team) {
        EXPECT_EQ(trained(1, 1, 5, team, projected), expected) << team.rank() << " of " << size;
      });
    }
  }
}

// Reading fails for one member, in one step.
class BrokenData : public GoldenData {
 public:
  using GoldenData::GoldenData;
  bool broken = false;
  Result<SampleRows> rows(size_t sample) const override {
    if (broken && sample == 6) return error(Code::kIo, "unreadable", "mend it");
    return GoldenData::rows(sample);
  }
};

TEST(Trainer, AnErrorOfOneMemberIsThatOfAll) {
  test::run_team(2, [&](Team& team) {
    ThreadPool pool(1);
    const Qwen2 model = golden_model(pool);
    LoraAdapter adapter = golden_adapter(model);
    BrokenData data(model);
    data.broken = team.rank() == 1;
    Trainer trainer(pool, model, adapter, data, golden_settings(), team);
    ASSERT_TRUE(trainer.step().ok());
    const Status status = trainer.step().status();
    EXPECT_EQ(status.code, Code::kIo);
    EXPECT_EQ(status.message, "process 1: unreadable");
    EXPECT_EQ(trainer.evaluate(data).ok(), true) << "sample 6 is the other member's";
    EXPECT_EQ(check_same(team, "seed", cat("1", team.rank())).message,
              "process 1: processes that train together need the same seed: the first has 10, "
              "found 11");
    EXPECT_TRUE(check_same(team, "seed", "1").ok());
  });
}

TEST(Trainer, Bf16StaysCloseToF32) {
  ThreadPool pool(2);
  Team alone;
  const Qwen2 model = golden_model(pool);
  const GoldenData data(model);
  TrainerSettings settings = golden_settings();
  LoraAdapter exact = golden_adapter(model);
  Trainer first(pool, model, exact, data, settings, alone);
  settings.arithmetic = Arithmetic::kBf16;
  LoraAdapter rounded = golden_adapter(model);
  Trainer second(pool, model, rounded, data, settings, alone);
  for (int i = 0; i < 10; ++i) {
    const double expected = first.step()->loss;
    const double found = second.step()->loss;
    EXPECT_NE(found, expected);
    EXPECT_NEAR(found, expected, 0.01 * expected) << "step " << i;
  }
}

TEST(Trainer, LearnsWhatItIsShown) {
  ThreadPool pool(2);
  Team alone;
  const Qwen2 model = golden_model(pool);
  LoraAdapter adapter = fresh_adapter(model, 0);
  const GoldenData data(model);
  TrainerSettings settings = golden_settings();
  settings.learning_rate = 1e-2;
  settings.epochs = 40;
  Trainer trainer(pool, model, adapter, data, settings, alone);
  ASSERT_TRUE(trainer.self_test().ok());
  const double before = *trainer.evaluate(data);
  while (trainer.steps_done() < trainer.total_steps()) ASSERT_TRUE(trainer.step().ok());
  EXPECT_LT(*trainer.evaluate(data), before / 4);
}

TEST(Trainer, SelfTestLeavesNoTrace) {
  ThreadPool pool(2);
  Team alone;
  const Qwen2 model = golden_model(pool);
  LoraAdapter tested = golden_adapter(model);
  LoraAdapter untested = golden_adapter(model);
  const GoldenData data(model);
  Trainer first(pool, model, tested, data, golden_settings(), alone);
  Trainer second(pool, model, untested, data, golden_settings(), alone);
  ASSERT_TRUE(first.self_test().ok());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(first.step()->loss, second.step()->loss);
  EXPECT_TRUE(std::equal(tested.parameters().begin(), tested.parameters().end(),
                         untested.parameters().begin()));
}

TEST(Trainer, SelfTestRefusesAnAdapterThatCannotLearn) {
  ThreadPool pool(2);
  Team alone;
  const Qwen2 model = golden_model(pool);
  LoraAdapter adapter = fresh_adapter(model, 0);
  std::fill(adapter.parameters().begin(), adapter.parameters().end(), 0.0F);
  const GoldenData data(model);
  Trainer trainer(pool, model, adapter, data, golden_settings(), alone);
  const Status status = trainer.self_test();
  EXPECT_EQ(status.code, Code::kInvalid);
  EXPECT_THAT(status.message, HasSubstr("golden:0: the gradient of every lora_B is zero"));
}

TEST(Trainer, StopsAtNumbersThatAreNone) {
  ThreadPool pool(2);
  Team alone;
  const Qwen2 model = golden_model(pool);
  LoraAdapter adapter = golden_adapter(model);
  GoldenData data(model);
  data.rows_to_damage(6)[40] = std::numeric_limits<float>::quiet_NaN();
  Trainer trainer(pool, model, adapter, data, golden_settings(), alone);
  ASSERT_TRUE(trainer.step().ok());
  const std::vector<float> before(adapter.parameters().begin(), adapter.parameters().end());
  const auto report = trainer.step();
  ASSERT_FALSE(report.ok());
  EXPECT_THAT(report.status().message,
              HasSubstr("step 2, sample golden:6: loss or gradient are not finite"));
  EXPECT_NE(report.status().hint, "");
  EXPECT_EQ(trainer.steps_done(), 1);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), adapter.parameters().begin()));
}

TEST(CosineSchedule, IsTransformers) {
  const auto schedule = CosineSchedule::with_ratio(2e-4, 0.03, 250);
  EXPECT_EQ(schedule.warmup, 8);
  EXPECT_EQ(schedule.rate(0), 0);
  EXPECT_DOUBLE_EQ(schedule.rate(4), 1e-4);
  EXPECT_DOUBLE_EQ(schedule.rate(8), 2e-4);
  EXPECT_NEAR(schedule.rate(129), 1e-4, 1e-12);
  EXPECT_NEAR(schedule.rate(250), 0, 1e-12);
  EXPECT_EQ(CosineSchedule::with_ratio(1, 0, 5).rate(0), 1);
}

}  // namespace
}  // namespace fastvlm
