// SPDX-License-Identifier: Apache-2.0
#include "quantize/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "quantize/comparison.h"
#include "quantize/export.h"
#include "support/files.h"
#include "support/lora.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

class MergeTest : public testing::Test {
 protected:
  Checkpoint open(const fs::path& folder) {
    auto checkpoint = Checkpoint::open(folder);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message;
    return std::move(*checkpoint);
  }
  static LoraAdapter adapter(const Checkpoint& base, std::vector<std::string> targets) {
    return test::random_adapter(base.config().language, test::of_rank(6, 9, std::move(targets)));
  }

  ThreadPool pool_{2};
  test::TemporaryFolder folder_;
};

// Merged weights answer as base and adapter side by side do; everything else is as it was.
TEST_F(MergeTest, EqualsBaseAndAdapter) {
  for (const std::string name : {"hd_tied", "s0_untied"}) {
    const Checkpoint base = open(test::golden("vlm/" + name));
    const LoraAdapter lora = adapter(base, all_target_names());
    MergeOptions options;
    options.strength = 0.75F;
    options.dtype = DType::kF32;
    const auto report = merge_adapter(base, lora, folder_ / name, options, pool_);
    ASSERT_TRUE(report.ok()) << report.status().message;
    EXPECT_EQ(report->adapted, static_cast<int64_t>(lora.modules().size()));
    EXPECT_EQ(report->dtype, DType::kF32);
    const Checkpoint merged = open(folder_ / name);
    EXPECT_EQ(merged.layout(), Layout::kLlava);
    EXPECT_EQ(merged.names(), base.names());
    const auto probes = *probe_ids(base);
    const auto found = compare_models(base, merged, probes, pool_, {&lora, options.strength});
    ASSERT_TRUE(found.ok());
    EXPECT_LT(found->logits_error, 2e-5);
    EXPECT_EQ(found->agreement, 1);
    EXPECT_GT(compare_models(base, merged, probes, pool_)->logits_error, 0.01)
        << "the adapter does nothing";
    for (const std::string& tensor : base.names()) {
      const bool adapted = tensor.ends_with("_proj.weight") && tensor.starts_with("model.layers");
      EXPECT_EQ(*base.floats(tensor) == *merged.floats(tensor), !adapted) << tensor;
    }
  }
}

TEST_F(MergeTest, TakesTheAdaptersProjector) {
  const Checkpoint base = open(test::golden("vlm/hd_tied"));
  LoraAdapter lora = adapter(base, {"q_proj"});
  const ProjectorWeights own = *read_projector(base);
  const ProjectorWeights tuned = test::random_projector(own.shape);
  lora.add_projector(tuned);
  MergeOptions options;
  options.dtype = DType::kF32;
  const auto report = merge_adapter(base, lora, folder_ / "whole", options, pool_);
  ASSERT_TRUE(report.ok()) << report.status().message;
  EXPECT_TRUE(report->projector);
  EXPECT_EQ(read_projector(open(folder_ / "whole"))->values, tuned.values);
  options.strength = 0.25F;
  ASSERT_TRUE(merge_adapter(base, lora, folder_ / "part", options, pool_).ok());
  const std::vector<float> part = read_projector(open(folder_ / "part"))->values;
  for (size_t i = 0; i < part.size(); ++i) {
    ASSERT_EQ(part[i], 0.75F * own.values[i] + 0.25F * tuned.values[i]);
  }
  LoraAdapter other = adapter(base, {"q_proj"});
  other.add_projector(test::random_projector({own.shape.inputs + 1, own.shape.hidden}));
  const auto refused = merge_adapter(base, other, folder_ / "other", options, pool_);
  EXPECT_EQ(refused.status().code, Code::kInvalid);
  EXPECT_THAT(refused.status().message, HasSubstr("adapter: expected a projector of 128 x "));
  EXPECT_FALSE(fs::exists(folder_ / "other"));
}

TEST_F(MergeTest, ShardsAndTypes) {
  const Checkpoint base = open(test::golden("vlm/hd_tied"));
  const LoraAdapter lora = adapter(base, {"q_proj", "down_proj"});
  MergeOptions options;
  options.dtype = DType::kBF16;
  options.shard_bytes = 300'000;
  const auto report = merge_adapter(base, lora, folder_ / "merged", options, pool_);
  ASSERT_TRUE(report.ok()) << report.status().message;
  ASSERT_GT(report->files.size(), 2U);
  EXPECT_EQ(report->files.front(),
            "model-00001-of-0000" + std::to_string(report->files.size()) + ".safetensors");
  const Checkpoint merged = open(folder_ / "merged");
  EXPECT_EQ(merged.names(), base.names());
  EXPECT_EQ(merged.matrix("model.layers.1.mlp.up_proj.weight", 192, 128)->type, WeightType::kBF16);
  const auto config = nlohmann::json::parse(*read_text_file(folder_ / "merged/config.json"));
  EXPECT_EQ(config["torch_dtype"], "bfloat16");
  const auto probes = *probe_ids(base);
  EXPECT_LT(compare_models(base, merged, probes, pool_, {&lora, 1})->logits_error, 0.05);
}

TEST_F(MergeTest, WhatItRefuses) {
  const Checkpoint base = open(test::golden("vlm/hd_tied"));
  const LoraAdapter lora = adapter(base, {"q_proj"});
  ASSERT_TRUE(export_quantized(base, folder_ / "small", {}, pool_).ok());
  const Checkpoint small = open(folder_ / "small");
  const auto quantized = merge_adapter(small, lora, folder_ / "out", {}, pool_);
  EXPECT_THAT(quantized.status().message, HasSubstr("is quantised"));
  EXPECT_THAT(quantized.status().hint, HasSubstr("--dequantize"));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  MergeOptions openly;
  openly.dequantize = true;
  ASSERT_TRUE(merge_adapter(small, lora, folder_ / "out", openly, pool_).ok());
  EXPECT_FALSE(open(folder_ / "out").config().quantization.has_value());
  const auto again = merge_adapter(base, lora, folder_ / "out", {}, pool_);
  EXPECT_THAT(again.status().message, HasSubstr("is not empty"));
  LoraSettings settings;
  settings.rank = 2;
  LanguageConfig shape = base.config().language;
  shape.layers = 3;
  const auto longer =
      merge_adapter(base, *LoraAdapter::create(shape, settings), folder_ / "x", {}, pool_);
  EXPECT_THAT(longer.status().message, HasSubstr("expected one of 2 layers, found 3"));
}

}  // namespace
}  // namespace fastvlm
