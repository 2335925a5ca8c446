// SPDX-License-Identifier: Apache-2.0
#include "quantize/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "language/qwen2.h"
#include "support/files.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

class ExportTest : public testing::Test {
 protected:
  Result<ExportReport> export_model(const fs::path& from, const std::string& to,
                                    ExportOptions options = {}) {
    const auto source = Checkpoint::open(from);
    if (!source.ok()) return source.status();
    return export_quantized(*source, folder_ / to, options, pool_);
  }
  json config_of(const std::string& name) const {
    return json::parse(*read_text_file(folder_ / name / "config.json"));
  }
  static ExportOptions with(const std::string& recipe, AffineSettings settings, bool tied) {
    ExportOptions options;
    options.recipe = *make_recipe(recipe, settings, tied);
    return options;
  }

  ThreadPool pool_{2};
  test::TemporaryFolder folder_;
};

// Every tensor of MLX's own export, bit for bit, and no other.
TEST_F(ExportTest, EqualsTheReference) {
  for (const std::string model : {"hd_tied", "s0_untied"}) {
    const auto report = export_model(test::golden("vlm/" + model), model);
    ASSERT_TRUE(report.ok()) << report.status().message;
    const auto ours = SafetensorsFile::open(folder_ / model / "model.safetensors");
    const auto golden =
        SafetensorsFile::open(test::golden("vlm/" + model) / "mlx_4bit.safetensors");
    ASSERT_TRUE(ours.ok() && golden.ok());
    EXPECT_EQ(ours->tensors().size(), golden->tensors().size());
    for (const auto& [name, tensor] : golden->tensors()) {
      const TensorView* mine = ours->find(name);
      ASSERT_NE(mine, nullptr) << name;
      EXPECT_EQ(mine->dtype, tensor.dtype) << name;
      EXPECT_EQ(mine->shape, tensor.shape) << name;
      ASSERT_EQ(mine->bytes.size(), tensor.bytes.size()) << name;
      EXPECT_EQ(std::memcmp(mine->bytes.data(), tensor.bytes.data(), tensor.bytes.size()), 0)
          << name;
    }
    const json expected =
        json::parse(*read_text_file(test::golden("vlm/" + model) / "mlx_config.json"));
    EXPECT_EQ(config_of(model)["quantization"], expected["quantization"]);
    EXPECT_EQ(report->files.size(), 2U);
  }
}

// What was float stays what it was, up to F16, in either layout; the rest is near.
TEST_F(ExportTest, IsReadBack) {
  for (const Layout layout : {Layout::kMlxPatch, Layout::kMlxVlm}) {
    const std::string name(layout_name(layout));
    ExportOptions options;
    options.layout = layout;
    ASSERT_TRUE(export_model(test::golden("vlm/hd_tied"), name, options).ok());
    const auto source = Checkpoint::open(test::golden("vlm/hd_tied"));
    const auto read = Checkpoint::open(folder_ / name);
    ASSERT_TRUE(source.ok() && read.ok()) << read.status().message;
    EXPECT_EQ(read->layout(), layout);
    EXPECT_EQ(read->names(), source->names());
    for (const std::string& tensor : source->names()) {
      const auto expected = source->floats(tensor);
      const auto found = read->floats(tensor);
      ASSERT_TRUE(expected.ok() && found.ok()) << tensor;
      EXPECT_EQ(source->shape(tensor), read->shape(tensor));
      double error = 0, size = 0;
      for (size_t i = 0; i < expected->size(); ++i) {
        error += std::pow((*found)[i] - (*expected)[i], 2);
        size += std::pow((*expected)[i], 2);
      }
      const bool quantized = tensor.starts_with("model.layers") || tensor.starts_with("projector");
      EXPECT_LE(std::sqrt(error),
                (quantized || tensor.ends_with("tokens.weight") ? 0.12 : 5e-4) * std::sqrt(size))
          << tensor;
    }
  }
}

// Each width has its own error, and narrow ones are read with the very levels that were written.
TEST_F(ExportTest, EveryWidth) {
  double last = 1000;
  for (const int bits : {2, 3, 4, 6, 8}) {
    const std::string name = "q" + std::to_string(bits);
    ASSERT_TRUE(
        export_model(test::golden("vlm/s0_untied"), name, with("uniform", {bits, 32}, false)).ok());
    const auto source = Checkpoint::open(test::golden("vlm/s0_untied"));
    const auto read = Checkpoint::open(folder_ / name);
    ASSERT_TRUE(read.ok()) << read.status().message;
    const auto expected = *source->floats("model.layers.0.mlp.up_proj.weight");
    const auto found = *read->floats("model.layers.0.mlp.up_proj.weight");
    double error = 0;
    for (size_t i = 0; i < expected.size(); ++i) error += std::pow(found[i] - expected[i], 2);
    EXPECT_LT(error, last * 0.5) << bits;
    last = error;
    const auto model = Qwen2::load(*read, pool_);
    ASSERT_TRUE(model.ok()) << model.status().message;
    EXPECT_EQ(config_of(name)["quantization"]["bits"], bits);
  }
}

TEST_F(ExportTest, Recipes) {
  const fs::path untied = test::golden("vlm/s0_untied");
  ASSERT_TRUE(export_model(untied, "head8", with("head8", {4, 64}, false)).ok());
  EXPECT_EQ(config_of("head8")["quantization"], json::parse(R"({"group_size": 64, "bits": 4,
                            "language_model.lm_head": {"group_size": 64, "bits": 8}})"));
  ASSERT_TRUE(export_model(test::golden("vlm/hd_tied"), "tied", with("head8", {4, 64}, true)).ok());
  EXPECT_EQ(config_of("tied")["quantization"]["language_model.model.embed_tokens"]["bits"], 8);
  const auto read = Checkpoint::open(folder_ / "tied");
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->matrix("model.embed_tokens.weight", 512, 128)->type, WeightType::kQ8);
  EXPECT_EQ(read->matrix("model.layers.0.self_attn.q_proj.weight", 128, 128)->type,
            WeightType::kQ4);
  EXPECT_THAT(make_recipe("best", {}, true).status().message,
              HasSubstr("recipe: expected uniform, head8 or embed8, found \"best\""));
  EXPECT_THAT(make_recipe("uniform", {5, 64}, true).status().message, HasSubstr("found 5"));
  EXPECT_THAT(make_recipe("uniform", {4, 48}, true).status().message, HasSubstr("found 48"));
}

TEST_F(ExportTest, SmallFilesComeAlong) {
  test::make_tiny_model(folder_ / "source", "hd_tied");
  std::ofstream(folder_ / "source/tokenizer_config.json")
      << R"({"b": 1, "added_tokens_decoder": {"151643": {"content": "<|endoftext|>"},
             "151645": {"content": "<|im_end|>"}}, "a": 2})";
  ASSERT_TRUE(export_model(folder_ / "source", "out").ok());
  EXPECT_EQ(*read_text_file(folder_ / "out/tokenizer.json"),
            *read_text_file(folder_ / "source/tokenizer.json"));
  const json tokenizer = json::parse(*read_text_file(folder_ / "out/tokenizer_config.json"));
  EXPECT_EQ(tokenizer["added_tokens_decoder"]["151646"]["content"], "<image>");
  EXPECT_EQ(config_of("out")["image_token_index"], 151646);
  const json processor = json::parse(*read_text_file(folder_ / "out/preprocessor_config.json"));
  EXPECT_EQ(processor["crop_size"]["height"], 256);
}

TEST_F(ExportTest, WhatItRefuses) {
  ASSERT_TRUE(export_model(test::golden("vlm/hd_tied"), "out").ok());
  const auto again = export_model(test::golden("vlm/hd_tied"), "out");
  EXPECT_THAT(again.status().message, HasSubstr("is not empty"));
  const auto twice = export_model(folder_ / "out", "twice");
  EXPECT_THAT(twice.status().message, HasSubstr("is quantised already"));
  EXPECT_FALSE(fs::exists(folder_ / "twice"));
  ExportOptions options;
  options.layout = Layout::kMlxVlm;
  const auto source = Checkpoint::open(
      test::golden("vlm/hd_tied"), {test::golden("vlm/hd_tied") / "vision_train_form.safetensors"});
  ASSERT_TRUE(source.ok()) << source.status().message;
  const auto training = export_quantized(*source, folder_ / "vlm", options, pool_);
  EXPECT_THAT(training.status().message, HasSubstr("training form"));
  EXPECT_FALSE(fs::exists(folder_ / "vlm"));
}

// The model's file is absent, not half there, when a weight does not fit.
TEST_F(ExportTest, ValuesBeyondF16) {
  fs::create_directories(folder_ / "source");
  for (const char* file : {"config.json", "model.safetensors"}) {
    fs::copy_file(test::golden("vlm/hd_tied") / file, folder_ / "source" / file);
  }
  const auto file = SafetensorsFile::open(folder_ / "source/model.safetensors");
  ASSERT_TRUE(file.ok());
  const TensorView* norm = file->find("model.norm.weight");
  ASSERT_NE(norm, nullptr);
  const auto offset = norm->bytes.data() - file->bytes().data();
  const float large = 1e6F;
  ASSERT_EQ(norm->dtype, DType::kF32);
  {
    std::fstream out(folder_ / "source/model.safetensors",
                     std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(offset);
    out.write(reinterpret_cast<const char*>(&large), sizeof large);
  }
  const auto report = export_model(folder_ / "source", "out");
  EXPECT_THAT(report.status().message, HasSubstr("model.norm.weight: holds values beyond 65504"));
  EXPECT_FALSE(fs::exists(folder_ / "out/model.safetensors"));
  EXPECT_FALSE(fs::exists(folder_ / "out/config.json"));
}

}  // namespace
}  // namespace fastvlm
