// SPDX-License-Identifier: Apache-2.0
// Runs that stop and go on, the files that they leave, and pictures that are encoded once.
#include "train/training_run.h"

#include <gmock/gmock.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "support/tiny_model.h"
#include "train/golden_train.h"

namespace fastvlm {
namespace {

using test::golden_adapter;
using test::golden_model;
using test::GoldenData;
using testing::HasSubstr;

std::vector<nlohmann::json> metrics(const std::filesystem::path& folder) {
  std::ifstream in(folder / "metrics.jsonl");
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

class TrainingRun : public testing::Test {
 protected:
  // Runs until `stop` steps are done in this call, then is as good as killed; the parameters.
  std::vector<float> go(const std::string& name, bool resume, int64_t stop,
                        const RunSettings& settings = {{"learning-rate", "1"}}) {
    LoraAdapter adapter = golden_adapter(model_);
    adapter.set_dropout(0.1);
    TrainerSettings trainer = test::golden_settings();
    trainer.shuffle = true;
    Trainer learner(pool_, model_, adapter, data_, trainer, team_);
    auto folder = RunFolder::open(folder_ / name, resume);
    EXPECT_TRUE(folder.ok()) << folder.status().message;
    if (folder->has_checkpoint()) status_ = folder->restore(learner, settings);
    if (!status_.ok()) return {};
    EXPECT_TRUE(folder->rewind_metrics(learner.steps_done()).ok());
    RunOptions options;
    options.settings = settings;
    options.save_every = 3;
    options.evaluate_every = 5;
    options.evaluation = &data_;
    options.stop = [&] { return stop_at_ > 0 && learner.steps_done() == stop_at_; };
    options.on_step = [&](const StepReport&, std::optional<double>) {
      if (--stop == 0) throw std::runtime_error("killed");
    };
    try {
      status_ = run_training(learner, &*folder, options);
    } catch (const std::runtime_error&) {
      return {};
    }
    return {adapter.parameters().begin(), adapter.parameters().end()};
  }

  ThreadPool pool_{2};
  Qwen2 model_ = golden_model(pool_);
  GoldenData data_{model_};
  Team team_;
  test::TemporaryFolder folder_;
  int64_t stop_at_ = 0;
  Status status_;
};

TEST_F(TrainingRun, GoesOnBitByBitWhereverItWasKilled) {
  const std::vector<float> whole = go("whole", false, -1);
  ASSERT_TRUE(status_.ok()) << status_.message;
  for (int64_t first = 1; first <= 10; first += 2) {
    for (const int64_t second : {1, 4}) {
      const std::string name = cat("killed ", first, " ", second);
      go(name, false, first);
      go(name, true, second);
      EXPECT_EQ(go(name, true, -1), whole) << name;
      const std::vector<nlohmann::json> lines = metrics(folder_ / name);
      const std::vector<nlohmann::json> expected = metrics(folder_ / "whole");
      ASSERT_EQ(lines.size(), 10U) << name;
      for (size_t i = 0; i < 10; ++i) {
        EXPECT_EQ(lines[i]["step"], i + 1);
        for (const char* key : {"loss", "lr", "grad_norm", "tokens"}) {
          EXPECT_EQ(lines[i][key], expected[i][key]);
        }
        EXPECT_EQ(lines[i].contains("eval_loss"), i == 4 || i == 9);
      }
    }
  }
}

TEST_F(TrainingRun, StopsWhenAskedAndSavesWhatIsDone) {
  const std::vector<float> whole = go("whole", false, -1);
  stop_at_ = 4;
  go("stopped", false, -1);
  EXPECT_EQ(status_.code, Code::kInterrupted);
  EXPECT_THAT(status_.message, HasSubstr("stopped after step 4 of 10"));
  stop_at_ = 0;
  EXPECT_EQ(go("stopped", true, -1), whole);
}

TEST_F(TrainingRun, RefusesAnotherRunsFolderAndOtherSettings) {
  go("run", false, 4);
  const auto again = RunFolder::open(folder_ / "run", false);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.status().code, Code::kUsage);
  EXPECT_THAT(again.status().message, HasSubstr("holds a training run already"));
  go("run", true, -1, {{"learning-rate", "2"}});
  EXPECT_EQ(status_.code, Code::kUsage);
  EXPECT_THAT(status_.message, HasSubstr("the run was begun with learning-rate 1, found 2"));
}

TEST_F(TrainingRun, RefusesADamagedCheckpoint) {
  go("run", false, 4);
  const std::filesystem::path path = folder_ / "run" / "checkpoint.safetensors";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4);
  go("run", true, -1);
  EXPECT_FALSE(status_.ok());
  const std::vector<float> few(3);
  const TensorToWrite tensor{"parameters", DType::kF32, {3}, std::as_bytes(std::span(few))};
  const std::map<std::string, std::string> metadata{{"step", "3"}, {"setting.learning-rate", "1"}};
  ASSERT_TRUE(write_safetensors(path, {&tensor, 1}, metadata).ok());
  status_ = {};
  go("run", true, -1);
  EXPECT_THAT(status_.message, HasSubstr("tensor first_moments: expected 5568 F32 numbers"));
}

// Files cannot grow beyond a size while the object lives, as on a full disk.
class SmallDisk {
 public:
  explicit SmallDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST_F(TrainingRun, AFullDiskLeavesTheLastCheckpoint) {
  const std::vector<float> whole = go("whole", false, -1);
  go("full", false, 5);
  const std::filesystem::path checkpoint = folder_ / "full" / "checkpoint.safetensors";
  const auto before = read_text_file(checkpoint);
  {
    const SmallDisk disk(20'000);
    go("full", true, -1);
  }
  EXPECT_EQ(status_.code, Code::kIo);
  EXPECT_THAT(status_.message, HasSubstr("checkpoint.safetensors"));
  EXPECT_EQ(*read_text_file(checkpoint), *before);
  status_ = {};
  EXPECT_EQ(go("full", true, -1), whole);
}

TEST(ImageTokenCache, EncodesAPictureOnce) {
  const test::TemporaryFolder folder;
  test::make_tiny_model(folder / "model", "s0_untied");
  ThreadPool pool(2);
  EngineOptions options;
  options.model = folder / "model";
  auto engine = Engine::load(options, pool);
  ASSERT_TRUE(engine.ok()) << engine.status().message;
  auto cache = ImageTokenCache::open(*engine, folder / "tokens");
  ASSERT_TRUE(cache.ok()) << cache.status().message;
  const std::filesystem::path picture = test::golden("preprocess") / "landscape.png";
  bool encoded = false;
  const auto name = cache->keep(picture, pool, encoded);
  ASSERT_TRUE(name.ok()) << name.status().message;
  EXPECT_TRUE(encoded);
  std::filesystem::copy_file(picture, folder / "the same.png");
  EXPECT_EQ(*cache->keep(folder / "the same.png", pool, encoded), *name);
  EXPECT_FALSE(encoded);
  EXPECT_NE(*cache->keep(test::golden("preprocess") / "portrait.png", pool, encoded), *name);
  EXPECT_TRUE(encoded);

  // A file that is damaged is as good as none.
  std::filesystem::resize_file(folder / "tokens" / (*name + ".safetensors"), 100);
  EXPECT_FALSE(cache->read(*name).ok());
  EXPECT_EQ(*cache->keep(picture, pool, encoded), *name);
  EXPECT_TRUE(encoded);

  const auto tokens = cache->read(*name);
  ASSERT_TRUE(tokens.ok()) << tokens.status().message;
  EXPECT_EQ(tokens->count, (*engine)->image_tokens());
  EXPECT_EQ(tokens->values.size(), static_cast<size_t>(tokens->count * tokens->width));
  EXPECT_FALSE(cache->read("none").ok());
  std::ofstream(folder / "no.png") << "not a picture";
  EXPECT_THAT(cache->keep(folder / "no.png", pool, encoded).status().message, HasSubstr("no.png"));

  // What the projector reads is kept beside what it makes of it.
  auto towers = ImageTokenCache::open(*engine, folder / "tokens", {}, TokenStage::kTower);
  ASSERT_TRUE(towers.ok()) << towers.status().message;
  const auto unprojected = towers->keep(picture, pool, encoded);
  ASSERT_TRUE(unprojected.ok()) << unprojected.status().message;
  EXPECT_TRUE(encoded);
  EXPECT_NE(*unprojected, *name);
  const auto seen = (*engine)->encoder(pool);
  EXPECT_EQ((*seen)->projector.project(*towers->read(*unprojected), pool).values, tokens->values);

  // Another model's tokens of the same picture are others.
  test::edit_file(folder / "model" / "config.json", "{", "{ ");
  auto other = Engine::load(options, pool);
  ASSERT_TRUE(other.ok());
  auto others = ImageTokenCache::open(*other, folder / "tokens");
  ASSERT_TRUE(others.ok());
  EXPECT_NE(*others->keep(picture, pool, encoded), *name);
}

}  // namespace
}  // namespace fastvlm
