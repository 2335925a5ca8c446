// SPDX-License-Identifier: Apache-2.0
// A model with an adapter, against the model whose weights hold it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "language/lora.h"
#include "language/models.h"
#include "language/qwen2.h"
#include "support/lora.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;

class AdapterTest : public testing::Test {
 protected:
  AdapterTest() : checkpoint_(*Checkpoint::open(test::golden("vlm/hd_tied"))) {}

  LoraAdapter adapter(std::vector<std::string> targets) const {
    return test::random_adapter(checkpoint_.config().language,
                                test::of_rank(5, 7, std::move(targets)));
  }
  std::vector<float> logits(const Qwen2& model) {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 19; ++i) ids.push_back(i * 29 % 512);
    return test::logits_of(model, ids, Qwen2::Logits::kAll, pool_);
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
