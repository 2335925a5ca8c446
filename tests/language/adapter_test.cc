// SPDX-License-Identifier: Apache-2.0
// A model with an adapter, against the model whose weights hold it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "language/lora.h"
#include "language/qwen2.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;

constexpr int64_t kTokens = 19;

class AdapterTest : public testing::Test {
 protected:
  AdapterTest() : checkpoint_(*Checkpoint::open(test::golden("vlm/hd_tied"))) {}

  LoraAdapter adapter(std::vector<std::string> targets) {
    LoraSettings settings;
    settings.rank = 5;
    settings.alpha = 7;
    settings.targets = std::move(targets);
    LoraAdapter made = *LoraAdapter::create(checkpoint_.config().language, settings);
    std::mt19937 random(3);
    std::normal_distribution<float> values(0, 0.05F);
    for (float& value : made.parameters()) value = values(random);
    return made;
  }
  std::vector<float> logits(const Qwen2& model) {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < kTokens; ++i) ids.push_back(i * 29 % 512);
    std::vector<float> rows(ids.size() * 128);
    EXPECT_TRUE(model.embed(ids, rows.data()).ok());
    KvCache cache(model.config(), kTokens);
    std::vector<float> out;
    EXPECT_TRUE(model.forward(cache, rows.data(), kTokens, Qwen2::Logits::kAll, out, pool_).ok());
    return out;
  }

  ThreadPool pool_{2};
  Checkpoint checkpoint_;
};

TEST_F(AdapterTest, ChangesWhatItAdapts) {
  const std::vector<float> plain = logits(*Qwen2::load(checkpoint_, pool_));
  for (const std::string& target : all_target_names()) {
    Qwen2 model = *Qwen2::load(checkpoint_, pool_);
    ASSERT_TRUE(model.attach(adapter({target}), 1, pool_).ok());
    EXPECT_NE(logits(model), plain) << target;
    Qwen2 silent = *Qwen2::load(checkpoint_, pool_);
    ASSERT_TRUE(silent.attach(adapter({target}), 0, pool_).ok());
    const std::vector<float> same = logits(silent);
    for (size_t i = 0; i < same.size(); ++i) EXPECT_NEAR(same[i], plain[i], 1e-4F) << target;
  }
}

TEST_F(AdapterTest, StrengthScalesIt) {
  Qwen2 half = *Qwen2::load(checkpoint_, pool_);
  ASSERT_TRUE(half.attach(adapter({"down_proj"}), 0.5F, pool_).ok());
  LoraAdapter halved = adapter({"down_proj"});
  for (const LoraModule& module : halved.modules()) {
    for (int64_t i = 0; i < module.b_size(); ++i) {
      halved.parameters()[static_cast<size_t>(module.b + i)] /= 2;
    }
  }
  Qwen2 whole = *Qwen2::load(checkpoint_, pool_);
  ASSERT_TRUE(whole.attach(halved, 1, pool_).ok());
  EXPECT_EQ(logits(half), logits(whole));
}

TEST_F(AdapterTest, OneAtATimeAndOfTheRightShape) {
  Qwen2 model = *Qwen2::load(checkpoint_, pool_);
  LanguageConfig other = checkpoint_.config().language;
  other.intermediate_size = 64;
  LoraSettings settings;
  settings.rank = 2;
  EXPECT_THAT(model.attach(*LoraAdapter::create(other, settings), 1, pool_).message,
              HasSubstr("gate_proj: expected 192 x 128, found 64 x 128"));
  Qwen2 twice = *Qwen2::load(checkpoint_, pool_);
  ASSERT_TRUE(twice.attach(adapter({"q_proj"}), 1, pool_).ok());
  EXPECT_THAT(twice.attach(adapter({"q_proj"}), 1, pool_).message, HasSubstr("second adapter"));
}

}  // namespace
}  // namespace fastvlm
