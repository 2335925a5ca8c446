// SPDX-License-Identifier: Apache-2.0
#include "language/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/lora.h"

namespace fastvlm {
namespace {

using test::of_rank;
using test::small_config;
using testing::HasSubstr;

TEST(LoraAdapter, AdaptsEveryLinearLayer) {
  const auto adapter = LoraAdapter::create(small_config(), of_rank(3, 6));
  ASSERT_TRUE(adapter.ok()) << adapter.status().message;
  EXPECT_EQ(adapter->modules().size(), 14U);
  const LoraModule* down = adapter->find(1, LoraTarget::kDown);
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->name, "model.layers.1.mlp.down_proj");
  EXPECT_EQ(down->in, 24);
  EXPECT_EQ(down->out, 16);
  EXPECT_EQ(down->scale, 2.0F);
  const int64_t size = 2 * 3 * (2 * 32 + 2 * 24 + 3 * 40);
  EXPECT_EQ(adapter->parameters().size(), static_cast<size_t>(size));
}

TEST(LoraAdapter, CountsOfTheRealModel) {
  LanguageConfig config;
  config.hidden_size = 896;
  config.layers = 24;
  config.heads = 14;
  config.kv_heads = 2;
  config.head_dim = 64;
  config.intermediate_size = 4864;
  const auto adapter = LoraAdapter::create(config, {});
  ASSERT_TRUE(adapter.ok());
  EXPECT_EQ(adapter->parameters().size(), 70'385'664U);
}

TEST(LoraAdapter, ChoosesLayersByNameAndRanksByPattern) {
  LoraSettings settings = of_rank(4, 8);
  settings.targets = {"q_proj", "model.layers.1.mlp.up_proj"};
  settings.rank_pattern = {{"layers.1.self_attn.q_proj", 2}, {"q_proj", 8}};
  settings.alpha_pattern = {{"^model.layers.1.mlp.up_proj", 1}};
  settings.rank_stabilized = true;
  const auto adapter = LoraAdapter::create(small_config(), settings);
  ASSERT_TRUE(adapter.ok()) << adapter.status().message;
  ASSERT_EQ(adapter->modules().size(), 3U);
  EXPECT_EQ(adapter->find(0, LoraTarget::kUp), nullptr);
  EXPECT_EQ(adapter->find(0, LoraTarget::kQ)->rank, 8);
  EXPECT_EQ(adapter->find(1, LoraTarget::kQ)->rank, 2);
  EXPECT_FLOAT_EQ(adapter->find(1, LoraTarget::kQ)->scale, 8 / std::sqrt(2.0F));
  EXPECT_FLOAT_EQ(adapter->find(1, LoraTarget::kUp)->scale, 0.5F);
}

TEST(LoraAdapter, StartsAsPeftDoes) {
  auto adapter = LoraAdapter::create(small_config(), of_rank(8, 8));
  ASSERT_TRUE(adapter.ok());
  adapter->initialize(7);
  const std::vector<float> first(adapter->parameters().begin(), adapter->parameters().end());
  for (const LoraModule& module : adapter->modules()) {
    const float bound = 1 / std::sqrt(static_cast<float>(module.in));
    double squares = 0;
    for (int64_t i = 0; i < module.a_size(); ++i) {
      const float value = first[static_cast<size_t>(module.a + i)];
      ASSERT_LE(std::abs(value), bound);
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    // A uniform number's variance is bound^2 / 3.
    const double variance = squares / static_cast<double>(module.a_size());
    EXPECT_NEAR(variance * 3 / static_cast<double>(bound * bound), 1, 0.4);
    for (int64_t i = 0; i < module.b_size(); ++i) {
      ASSERT_EQ(first[static_cast<size_t>(module.b + i)], 0.0F);
    }
  }
  adapter->initialize(7);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), adapter->parameters().begin()));
  adapter->initialize(8);
  EXPECT_FALSE(std::equal(first.begin(), first.end(), adapter->parameters().begin()));
}

void expect_refused(const LoraSettings& settings, const std::string& said) {
  const auto adapter = LoraAdapter::create(small_config(), settings);
  ASSERT_FALSE(adapter.ok());
  EXPECT_EQ(adapter.status().code, Code::kUsage);
  EXPECT_THAT(adapter.status().message, HasSubstr(said));
  EXPECT_NE(adapter.status().hint, "");
}

TEST(LoraAdapter, RefusesSettingsThatMakeNoSense) {
  expect_refused(of_rank(0, 1), "rank: expected a whole number from 1 to 4096, found 0");
  expect_refused(of_rank(1, 0), "alpha");
  LoraSettings settings;
  settings.dropout = 1;
  expect_refused(settings, "dropout");
  settings = {};
  settings.targets = {"q_proj", "lm_head"};
  expect_refused(settings, "lm_head: no layer of that name");
  settings = {};
  settings.rank_pattern = {{"(", 4}};
  expect_refused(settings, "pattern (: expected a regular expression");
}

// std::regex would recurse or never end on these.
TEST(LoraAdapter, HostilePatternsAreRefused) {
  for (const std::string& pattern :
       {std::string("(.*)*(.*)*(.*)*x"), std::string(60000, '(') + std::string(60000, ')'),
        std::string(3000000, 'a'), std::string(".*.*.*.*x")}) {
    LoraSettings settings;
    settings.alpha_pattern = {{pattern, 4}};
    const auto adapter = LoraAdapter::create(small_config(), settings);
    ASSERT_FALSE(adapter.ok());
    EXPECT_LT(adapter.status().message.size(), 300U);
  }
  LoraSettings plain;
  plain.alpha_pattern = {{"layers\\.[01]\\..*q_proj", 4}};
  EXPECT_TRUE(LoraAdapter::create(small_config(), plain).ok());
}

}  // namespace
}  // namespace fastvlm
