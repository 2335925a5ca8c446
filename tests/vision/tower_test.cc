// SPDX-License-Identifier: Apache-2.0
// The towers against the reference code's tensors (tests/goldens/vlm/README.md), stage by stage.
#include "vision/tower.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "support/files.h"
#include "support/test_length.h"
#include "vision/projector.h"
#include "vision/vision_goldens.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;

constexpr double kTolerance = 2e-4;  // absolute and relative
constexpr double kProjectedTolerance = 1e-4;

struct Stage {
  int64_t height = 0;
  int64_t width = 0;
  int64_t channels = 0;
  std::vector<float> values;
};

// Every module's output by name.
std::map<std::string, Stage> stages(const VisionTower& tower, const test::Picture& picture,
                                    ThreadPool& pool) {
  std::map<std::string, Stage> seen;
  const auto tokens = tower.encode(
      picture.pixels.data(), picture.height, picture.width, pool,
      [&](const std::string& name, int64_t height, int64_t width, int64_t channels,
          const float* values) {
        EXPECT_FALSE(seen.contains(name)) << name;
        seen[name] = {height, width, channels, {values, values + height * width * channels}};
      });
  EXPECT_TRUE(tokens.ok());
  return seen;
}

// What the golden calls "<name>_stride4": every fourth row and column.
Stage every_fourth(const Stage& stage) {
  Stage thin{stage.height / 4, stage.width / 4, stage.channels, {}};
  for (int64_t y = 0; y < stage.height; y += 4) {
    for (int64_t x = 0; x < stage.width; x += 4) {
      const float* pixel = stage.values.data() + (y * stage.width + x) * stage.channels;
      thin.values.insert(thin.values.end(), pixel, pixel + stage.channels);
    }
  }
  return thin;
}

class TowerGolden : public testing::TestWithParam<const char*> {
 protected:
  static std::filesystem::path folder() { return test::golden("vlm") / GetParam(); }

  // Calls check(size, key without the size, tensor) for every tensor of the golden.
  template <typename Check>
  static void for_each_tensor(const SafetensorsFile& golden, const Check& check) {
    for (const auto& [name, tensor] : golden.tensors()) {
      const size_t slash = name.find('/');
      check(name.substr(0, slash), name.substr(slash + 1), tensor);
    }
  }

  void SetUp() override {
    auto golden = SafetensorsFile::open(folder() / "golden_vision.safetensors");
    ASSERT_TRUE(golden.ok()) << golden.status().message;
    golden_.emplace(std::move(*golden));
    auto checkpoint = Checkpoint::open(folder());
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
    checkpoint_.emplace(std::move(*checkpoint));
    auto tower = VisionTower::load(*checkpoint_, pool_);
    ASSERT_TRUE(tower.ok()) << tower.status().message;
    tower_.emplace(std::move(*tower));
  }

  test::Picture picture(const std::string& size) const {
    return test::picture(*golden_->find(size + "/pixels_u8"));
  }
  std::vector<float> reference(const std::string& name) const {
    return *to_floats(*golden_->find(name), name);
  }
  std::vector<std::string> sizes() const {
    std::vector<std::string> found;
    for_each_tensor(*golden_, [&](const std::string& size, const std::string& key, const auto&) {
      if (key == "pixels_u8") found.push_back(size);
    });
    return found;
  }

  ThreadPool pool_{2};
  std::optional<SafetensorsFile> golden_;
  std::optional<Checkpoint> checkpoint_;
  std::optional<VisionTower> tower_;
};

TEST_P(TowerGolden, EveryStage) {
  EXPECT_FALSE(tower_->is_training_form());

  int compared = 0;
  for (const std::string& size : sizes()) {
    const auto seen = stages(*tower_, picture(size), pool_);
    for_each_tensor(*golden_, [&](const std::string& of, std::string key, const auto& tensor) {
      if (of != size || tensor.shape.size() != 3 || key == "pixels_u8") return;
      const std::string name = size + "/" + key;
      const bool thin = key.ends_with("_stride4");
      if (thin) key.resize(key.size() - std::string("_stride4").size());
      ASSERT_TRUE(seen.contains(key)) << name;
      const Stage stage = thin ? every_fourth(seen.at(key)) : seen.at(key);
      ASSERT_EQ((std::vector{stage.channels, stage.height, stage.width}), tensor.shape) << name;
      const auto planes = reference(name);
      test::expect_close(stage.values.data(), test::channels_last(planes, stage.channels),
                         kTolerance, kTolerance, name);
      ++compared;
    });
  }
  EXPECT_GT(compared, 15);
}

TEST_P(TowerGolden, Tokens) {
  const auto projector = Projector::load(*checkpoint_, pool_);
  ASSERT_TRUE(projector.ok()) << projector.status().message;
  EXPECT_EQ(projector->input_width(), tower_->channels());
  for (const std::string& size : sizes()) {
    const auto image = picture(size);
    const auto tokens = tower_->encode(image.pixels.data(), image.height, image.width, pool_);
    ASSERT_TRUE(tokens.ok()) << tokens.status().message;
    EXPECT_EQ(tokens->count, tower_->token_count(image.height, image.width));
    EXPECT_EQ(tokens->width, tower_->channels());
    const auto expected = reference(size + "/tokens");
    ASSERT_EQ(tokens->values.size(), expected.size());
    test::expect_close(tokens->values.data(), expected, kTolerance, kTolerance, size + "/tokens");

    const Tokens projected = projector->project(*tokens, pool_);
    const auto expected_projected = reference(size + "/projected");
    ASSERT_EQ(projected.values.size(), expected_projected.size());
    test::expect_close(projected.values.data(), expected_projected, kProjectedTolerance,
                       kProjectedTolerance, size + "/projected");
  }
}

TEST_P(TowerGolden, TokensOfTheTrainingForm) {
  const auto checkpoint =
      Checkpoint::open(folder(), {.vision_tower = folder() / "vision_train_form.safetensors"});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  const auto tower = VisionTower::load(*checkpoint, pool_);
  ASSERT_TRUE(tower.ok()) << tower.status().message;
  EXPECT_TRUE(tower->is_training_form());
  for (const std::string& size : sizes()) {
    const auto image = picture(size);
    const auto tokens = tower->encode(image.pixels.data(), image.height, image.width, pool_);
    ASSERT_TRUE(tokens.ok()) << tokens.status().message;
    const auto expected = reference(size + "/tokens_train_form");
    ASSERT_EQ(tokens->values.size(), expected.size());
    test::expect_close(tokens->values.data(), expected, kTolerance, kTolerance, size);
  }
}

// The classifier on top is not ours, but the mean that it takes shows a wrong token anywhere.
TEST_P(TowerGolden, HeadLogits) {
  const auto head = checkpoint_->floats("vision.head.proj");
  ASSERT_TRUE(head.ok()) << head.status().message;
  for (const std::string& size : sizes()) {
    if (golden_->find(size + "/head_logits") == nullptr) continue;
    const auto image = picture(size);
    const auto tokens = tower_->encode(image.pixels.data(), image.height, image.width, pool_);
    ASSERT_TRUE(tokens.ok());
    const auto expected = reference(size + "/head_logits");
    std::vector<double> sums(expected.size(), 0.0);
    for (size_t i = 0; i < tokens->values.size(); ++i) {
      const size_t channel = i % static_cast<size_t>(tokens->width);
      for (size_t k = 0; k < sums.size(); ++k) {
        sums[k] += double{tokens->values[i]} * double{(*head)[channel * sums.size() + k]};
      }
    }
    std::vector<float> logits;
    for (const double sum : sums) {
      logits.push_back(static_cast<float>(sum / static_cast<double>(tokens->count)));
    }
    test::expect_close(logits.data(), expected, kTolerance, kTolerance, size + "/head_logits");
  }
}

TEST_P(TowerGolden, ThreadsAndSinkDoNotMatter) {
  const auto image = picture("256x256");
  ThreadPool alone(1);
  const auto expected = tower_->encode(image.pixels.data(), 256, 256, alone);
  ASSERT_TRUE(expected.ok());
  for (const int threads : {2, 3}) {
    ThreadPool team(threads);
    const auto tokens = tower_->encode(image.pixels.data(), 256, 256, team);
    ASSERT_TRUE(tokens.ok());
    EXPECT_EQ(tokens->values, expected->values) << threads << " threads";
  }
  EXPECT_EQ(stages(*tower_, image, pool_).at("conv_exp").values, expected->values);
}

// The maps of one pass serve the next, also one of another size, and several at once.
TEST_P(TowerGolden, OtherPassesDoNotMatter) {
  const auto image = picture("256x256");
  const auto tokens = [&](int64_t height) {
    ThreadPool alone(1);
    return tower_->encode(image.pixels.data(), height, 256, alone)->values;
  };
  const std::vector<float> half = tokens(128);
  const std::vector<float> whole = tokens(256);
  EXPECT_EQ(tokens(128), half);
  EXPECT_EQ(tokens(256), whole);
  pool_.parallel_for(8, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      EXPECT_EQ(tokens(i % 2 == 0 ? 128 : 256), i % 2 == 0 ? half : whole);
    }
  });
}

// More threads than processors: the system stops them anywhere, and who takes which rows changes
// from pass to pass. Every pass is the first one of its threads, whose working space grows in it.
TEST_P(TowerGolden, EveryPassIsTheSameOnABusyMachine) {
  const auto image = picture("256x256");
  const auto expected = tower_->encode(image.pixels.data(), 256, 256, pool_);
  ASSERT_TRUE(expected.ok());
  const std::string_view length = test::test_length();
  const int passes = length == "long" ? 10'000 : length == "plain" ? 100 : 10;
  std::atomic<int> different{0};
  for (int i = 0; i < passes; ++i) {
    std::vector<std::jthread> callers;
    for (const int threads : {2, 3, 4}) {
      callers.emplace_back([&, threads] {
        ThreadPool team(threads);
        const auto tokens = tower_->encode(image.pixels.data(), 256, 256, team);
        if (tokens->values != expected->values) ++different;
      });
    }
  }
  EXPECT_EQ(different, 0) << "of " << 3 * passes;
}

TEST_P(TowerGolden, RefusesSizesThatTheStrideDoesNotDivide) {
  const std::vector<float> pixels(256 * 256 * 3);
  for (const auto& [height, width] :
       {std::pair{256, 250}, {200, 256}, {0, 64}, {64, 0}, {-64, 64}}) {
    const auto tokens = tower_->encode(pixels.data(), height, width, pool_);
    ASSERT_FALSE(tokens.ok()) << height << " " << width;
    EXPECT_EQ(tokens.status().code, Code::kUsage);
    EXPECT_THAT(tokens.status().message, HasSubstr(cat("multiples of ", tower_->stride())));
    EXPECT_THAT(tokens.status().message, HasSubstr(cat(width, " x ", height)));
  }
}

INSTANTIATE_TEST_SUITE_P(Models, TowerGolden, testing::Values("hd_tied", "s0_untied"),
                         [](const auto& model) { return std::string(model.param); });

TEST(Tower, DescribesItself) {
  ThreadPool pool(1);
  const auto hd = Checkpoint::open(test::golden("vlm/hd_tied"));
  ASSERT_TRUE(hd.ok());
  const auto tower = VisionTower::load(*hd, pool);
  ASSERT_TRUE(tower.ok()) << tower.status().message;
  EXPECT_EQ(tower->kind(), "FastViTHD topology, 5 stages 1-2-2-1-1, widths 8-16-32-64-128");
  EXPECT_EQ(tower->stride(), 64);
  EXPECT_EQ(tower->channels(), 256);
  EXPECT_EQ(tower->token_count(128, 192), 6);

  const auto s0 = Checkpoint::open(test::golden("vlm/s0_untied"));
  ASSERT_TRUE(s0.ok());
  const auto small = VisionTower::load(*s0, pool);
  ASSERT_TRUE(small.ok()) << small.status().message;
  EXPECT_EQ(small->kind(), "MobileCLIP-S0 topology, 4 stages 1-2-2-1, widths 16-32-64-128");
  EXPECT_EQ(small->stride(), 32);
}

}  // namespace
}  // namespace fastvlm
