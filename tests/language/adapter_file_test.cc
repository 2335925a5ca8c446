// SPDX-License-Identifier: Apache-2.0
#include "language/adapter_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "formats/safetensors.h"
#include "support/files.h"
#include "support/lora.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using test::of_rank;
using test::small_config;
using testing::HasSubstr;

LoraAdapter some_adapter(const LoraSettings& settings) {
  auto adapter = LoraAdapter::create(small_config(), settings);
  EXPECT_TRUE(adapter.ok()) << adapter.status().message;
  float value = 0;
  for (float& parameter : adapter->parameters()) parameter = (value += 0.25F);
  return std::move(*adapter);
}

json config_in(const std::filesystem::path& folder) {
  std::ifstream in(folder / "adapter_config.json");
  return json::parse(in);
}

void edit_config(const std::filesystem::path& folder, const std::string& key, const json& value) {
  json config = config_in(folder);
  config[key] = value;
  std::ofstream(folder / "adapter_config.json") << config.dump();
}

void expect_refused(const std::filesystem::path& folder, Code code, const std::string& said) {
  const auto adapter = load_adapter(folder, small_config());
  ASSERT_FALSE(adapter.ok());
  EXPECT_EQ(adapter.status().code, code) << adapter.status().message;
  EXPECT_THAT(adapter.status().message, HasSubstr(said));
  EXPECT_NE(adapter.status().hint, "");
}

TEST(AdapterFile, WritesWhatPeftReads) {
  const test::TemporaryFolder folder;
  ASSERT_TRUE(save_adapter(folder.path(), some_adapter(of_rank(3, 6)), "base").ok());
  const json config = config_in(folder.path());
  EXPECT_EQ(config["peft_type"], "LORA");
  EXPECT_EQ(config["task_type"], "CAUSAL_LM");
  EXPECT_EQ(config["base_model_name_or_path"], "base");
  EXPECT_EQ(config["r"], 3);
  EXPECT_EQ(config["lora_alpha"], 6);
  EXPECT_EQ(config["lora_dropout"], 0.1);
  EXPECT_EQ(config["target_modules"].size(), 7U);
  const auto file = SafetensorsFile::open(folder / "adapter_model.safetensors");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->tensors().size(), 28U);
  const TensorView* a =
      file->find("base_model.model.model.layers.1.self_attn.k_proj.lora_A.weight");
  const TensorView* b =
      file->find("base_model.model.model.layers.1.self_attn.k_proj.lora_B.weight");
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_EQ(a->shape, (std::vector<int64_t>{3, 16}));
  EXPECT_EQ(b->shape, (std::vector<int64_t>{8, 3}));
}

TEST(AdapterFile, ComesBackAsItWas) {
  const test::TemporaryFolder folder;
  LoraSettings settings;
  settings.rank = 4;
  settings.alpha = 8;
  settings.dropout = 0.05;
  settings.rank_stabilized = true;
  settings.targets = {"q_proj", "model.layers.1.mlp.down_proj"};
  settings.rank_pattern = {{"layers.0.self_attn.q_proj", 2}, {"q_proj", 3}};
  settings.alpha_pattern = {{"down_proj", 2.5}};
  const LoraAdapter saved = some_adapter(settings);
  ASSERT_TRUE(save_adapter(folder.path(), saved, "base").ok());
  const auto loaded = load_adapter(folder.path(), small_config());
  ASSERT_TRUE(loaded.ok()) << loaded.status().message;
  EXPECT_EQ(loaded->settings().targets, settings.targets);
  EXPECT_EQ(loaded->settings().rank_pattern, settings.rank_pattern);
  ASSERT_EQ(loaded->modules().size(), saved.modules().size());
  for (size_t i = 0; i < saved.modules().size(); ++i) {
    EXPECT_EQ(loaded->modules()[i].name, saved.modules()[i].name);
    EXPECT_EQ(loaded->modules()[i].scale, saved.modules()[i].scale);
  }
  EXPECT_TRUE(std::equal(saved.parameters().begin(), saved.parameters().end(),
                         loaded->parameters().begin(), loaded->parameters().end()));
}

TEST(AdapterFile, TheProjectorComesAsAWhole) {
  const test::TemporaryFolder folder;
  LoraAdapter saved = some_adapter(of_rank(3, 6));
  const ProjectorWeights projector = test::random_projector({10, 16});
  saved.add_projector(projector);
  ASSERT_TRUE(save_adapter(folder.path(), saved, "base").ok());
  EXPECT_EQ(config_in(folder.path())["modules_to_save"], json{"mm_projector"});
  const auto file = SafetensorsFile::open(folder / "adapter_model.safetensors");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->tensors().size(), 32U);
  const std::string prefix = "base_model.model.model.mm_projector.";
  EXPECT_EQ(file->find(prefix + "0.weight")->shape, (std::vector<int64_t>{16, 10}));
  EXPECT_EQ(file->find(prefix + "2.bias")->shape, (std::vector<int64_t>{16}));
  const auto loaded = load_adapter(folder.path(), small_config());
  ASSERT_TRUE(loaded.ok()) << loaded.status().message;
  ASSERT_TRUE(loaded->projector().has_value());
  EXPECT_EQ(loaded->projector_weights().values, projector.values);
  EXPECT_TRUE(std::equal(saved.parameters().begin(), saved.parameters().end(),
                         loaded->parameters().begin(), loaded->parameters().end()));

  edit_config(folder.path(), "modules_to_save", nullptr);
  expect_refused(folder.path(), Code::kUnsupported, "mm_projector.0.bias: expected only lora_A");
  ASSERT_TRUE(save_adapter(folder.path(), some_adapter(of_rank(3, 6)), "base").ok());
  edit_config(folder.path(), "modules_to_save", {"mm_projector"});
  expect_refused(folder.path(), Code::kInvalid, "mm_projector.0.weight: expected [16, 1], found");
}

TEST(AdapterFile, RefusesOtherAdaptersByName) {
  const test::TemporaryFolder folder;
  ASSERT_TRUE(save_adapter(folder.path(), some_adapter(of_rank(3, 6)), "base").ok());
  const struct {
    const char* key;
    json value;
    json before;
    const char* said;
  } cases[] = {{"use_dora", true, false, "DoRA adapters"},
               {"bias", "all", "none", "trained biases"},
               {"modules_to_save", {"lm_head"}, nullptr, "modules trained as a whole"},
               {"alora_invocation_tokens", {1, 2}, nullptr, "adapters that begin at a token"},
               {"init_lora_weights", "pissa_niter_4", true, "a base that pissa_niter_4 changed"}};
  for (const auto& each : cases) {
    edit_config(folder.path(), each.key, each.value);
    expect_refused(folder.path(), Code::kUnsupported, each.said);
    edit_config(folder.path(), each.key, each.before);
  }
  edit_config(folder.path(), "lora_alpha", -1);
  expect_refused(folder.path(), Code::kInvalid,
                 folder.path().string() + ": LoRA alpha: expected a number above 0, found -1");
  edit_config(folder.path(), "lora_alpha", 6);
  edit_config(folder.path(), "peft_type", "IA3");
  expect_refused(folder.path(), Code::kInvalid,
                 "key `peft_type`: expected \"LORA\", found \"IA3\"");
}

TEST(AdapterFile, RefusesTensorsThatDoNotFit) {
  const test::TemporaryFolder folder;
  ASSERT_TRUE(save_adapter(folder.path(), some_adapter(of_rank(3, 6)), "base").ok());
  edit_config(folder.path(), "r", 4);
  expect_refused(folder.path(), Code::kInvalid, "q_proj.lora_A.weight: expected [4, 16]");
  edit_config(folder.path(), "r", "three");
  expect_refused(folder.path(), Code::kInvalid, "key `r`: expected a number");
  edit_config(folder.path(), "r", 3);
  edit_config(folder.path(), "rank_pattern", {{"q_proj", "x"}});
  expect_refused(folder.path(), Code::kInvalid, "key `rank_pattern`");
  edit_config(folder.path(), "rank_pattern", json::object());

  const std::vector<float> zeros(48);
  const std::string name = "base_model.model.model.layers.0.self_attn.q_proj.";
  const auto write = [&](const std::string& tensor) {
    const TensorToWrite tensors[] = {
        {tensor, DType::kF32, {3, 16}, std::as_bytes(std::span(zeros))}};
    ASSERT_TRUE(write_safetensors(folder / "adapter_model.safetensors", tensors).ok());
  };
  write(name + "lora_magnitude_vector");
  expect_refused(folder.path(), Code::kUnsupported, "lora_magnitude_vector");
  write(name + "lora_A.weight");
  expect_refused(folder.path(), Code::kInvalid, "lora_B.weight: expected [16, 3], found none");
  write("base_model.model.lm_head.lora_A.weight");
  expect_refused(folder.path(), Code::kInvalid, "lm_head: no layer of that name");
  std::filesystem::remove(folder / "adapter_model.safetensors");
  expect_refused(folder.path(), Code::kNotFound, "adapter_model.safetensors");
  std::ofstream(folder / "adapter_config.json") << "[]";
  expect_refused(folder.path(), Code::kInvalid, "is no JSON object");
}

}  // namespace
}  // namespace fastvlm
