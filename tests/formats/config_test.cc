// SPDX-License-Identifier: Apache-2.0
#include "formats/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/files.h"
#include "support/layouts.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json half_billion() {
  return {{"model_type", "llava_qwen2"}, {"hidden_size", 896},
          {"num_hidden_layers", 24},     {"num_attention_heads", 14},
          {"num_key_value_heads", 2},    {"intermediate_size", 4864},
          {"vocab_size", 151936},        {"rope_theta", 1000000.0},
          {"rms_norm_eps", 1e-6},        {"tie_word_embeddings", true},
          {"eos_token_id", 151645},      {"mm_vision_tower", "mobileclip_l_1024"},
          {"mm_hidden_size", 3072},      {"image_aspect_ratio", "pad"}};
}

Result<ModelConfig> read(const json& config, const json& generation = nullptr,
                         const json& preprocessor = nullptr) {
  const test::TemporaryFolder folder;
  test::write_json(folder / "config.json", config);
  if (!generation.is_null()) test::write_json(folder / "generation_config.json", generation);
  if (!preprocessor.is_null()) test::write_json(folder / "preprocessor_config.json", preprocessor);
  return read_config(folder.path());
}

json with(const std::string& key, const json& value) {
  json config = half_billion();
  config[key] = value;
  return config;
}

std::string config_fault(const json& config) {
  const auto result = read(config);
  if (result.ok()) return "no error";
  EXPECT_FALSE(result.status().hint.empty());
  return result.status().message;
}

TEST(Config, ReadsTheHalfBillion) {
  const auto config = read(half_billion());
  ASSERT_TRUE(config.ok()) << config.status().message;
  EXPECT_EQ(config->model_type, "llava_qwen2");
  EXPECT_EQ(config->language.head_dim, 64);
  EXPECT_EQ(config->language.layers, 24);
  EXPECT_TRUE(config->language.tied);
  EXPECT_EQ(config->language.max_positions, 32768);
  EXPECT_FLOAT_EQ(config->language.rms_norm_eps, 1e-6F);
  EXPECT_EQ(config->image_size, 1024);
  EXPECT_EQ(config->mm_hidden_size, 3072);
  EXPECT_EQ(config->image_aspect_ratio, "pad");
  EXPECT_EQ(config->image_token_index, -200);
  EXPECT_EQ(config->max_context, 8192);
  EXPECT_THAT(config->eos_token_ids, ElementsAre(151645));
  EXPECT_FALSE(config->quantization.has_value());
}

TEST(Config, OtherSizesLoadByTheSameKeys) {
  const struct {
    int64_t hidden, layers, heads, kv, inner, vocab, head_dim;
    bool tied;
  } sizes[] = {{1536, 28, 12, 2, 8960, 151936, 128, true},
               {3584, 28, 28, 4, 18944, 152064, 128, false}};
  for (const auto& size : sizes) {
    json config = half_billion();
    config.update({{"hidden_size", size.hidden},
                   {"num_hidden_layers", size.layers},
                   {"num_attention_heads", size.heads},
                   {"num_key_value_heads", size.kv},
                   {"intermediate_size", size.inner},
                   {"vocab_size", size.vocab},
                   {"tie_word_embeddings", size.tied}});
    const auto read_back = read(config);
    ASSERT_TRUE(read_back.ok()) << read_back.status().message;
    EXPECT_EQ(read_back->language.head_dim, size.head_dim);
    EXPECT_EQ(read_back->language.tied, size.tied);
  }
}

TEST(Config, NamesMissingKeys) {
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "intermediate_size", "vocab_size", "rope_theta"}) {
    json config = half_billion();
    config.erase(key);
    EXPECT_THAT(config_fault(config),
                HasSubstr(cat("config.json: key `", key, "` is missing; expected a")));
  }
}

TEST(Config, NamesWrongValues) {
  EXPECT_THAT(config_fault(with("hidden_size", "896")),
              HasSubstr("key `hidden_size`: expected an integer from 1 to 1048576, found \"896\""));
  EXPECT_THAT(config_fault(with("hidden_size", -896)), HasSubstr("found -896"));
  EXPECT_THAT(config_fault(with("hidden_size", 896.5)), HasSubstr("found 896.5"));
  EXPECT_THAT(config_fault(with("vocab_size", 18446744073709551615U)),
              HasSubstr("key `vocab_size`"));
  EXPECT_THAT(config_fault(with("num_key_value_heads", 4)),
              HasSubstr("num_attention_heads 14 is not a multiple of num_key_value_heads 4"));
  EXPECT_THAT(config_fault(with("hidden_size", 900)),
              HasSubstr("hidden_size 900 is not a multiple of num_attention_heads 14"));
  EXPECT_THAT(config_fault(with("head_dim", 63)), HasSubstr("head_dim 63 is odd"));
  EXPECT_THAT(config_fault(with("tie_word_embeddings", "yes")),
              HasSubstr("expected true or false"));
  EXPECT_THAT(config_fault(with("rope_theta", 0)),
              HasSubstr("key `rope_theta`: expected a number"));
  EXPECT_THAT(config_fault(with("eos_token_id", json::array({1, "x"}))),
              HasSubstr("key `eos_token_id`"));
  EXPECT_THAT(config_fault(with("mm_vision_tower", 3)), HasSubstr("expected a text, found 3"));
}

TEST(Config, RefusesWhatTheDecoderDoesNotCompute) {
  EXPECT_THAT(config_fault(with("use_sliding_window", true)),
              HasSubstr("key `use_sliding_window`: true is not supported; expected false"));
  EXPECT_EQ(config_fault(with("use_sliding_window", false)), "no error");
  EXPECT_THAT(config_fault(with("rope_scaling", {{"type", "yarn"}, {"factor", 4.0}})),
              HasSubstr("key `rope_scaling`: \"yarn\" is not supported; expected no scaling"));
  EXPECT_EQ(config_fault(with("rope_scaling", nullptr)), "no error");
  EXPECT_THAT(config_fault(with("layer_types", {"full_attention", "sliding_attention"})),
              HasSubstr("key `layer_types`: \"sliding_attention\""));
  EXPECT_THAT(config_fault(with("hidden_act", "gelu")), HasSubstr("expected silu"));
  EXPECT_THAT(config_fault(with("mm_projector_type", "linear")), HasSubstr("expected mlp2x_gelu"));
  EXPECT_THAT(config_fault(with("image_aspect_ratio", "anyres")),
              HasSubstr("anyres is not supported"));
  EXPECT_THAT(config_fault(with("mm_use_im_start_end", true)), HasSubstr("mm_use_im_start_end"));
}

TEST(Config, Quantization) {
  const auto config = read(with("quantization", {{"group_size", 64}, {"bits", 8}}));
  ASSERT_TRUE(config.ok()) << config.status().message;
  EXPECT_EQ(config->quantization->bits, 8);
  EXPECT_EQ(config->quantization->group_size, 64);
  EXPECT_FALSE(config->quantization->mixed);
  const auto other = read(
      with("quantization_config", {{"group_size", 32}, {"bits", 4}, {"lm_head", {{"bits", 8}}}}));
  ASSERT_TRUE(other.ok());
  EXPECT_EQ(other->quantization->group_size, 32);
  EXPECT_TRUE(other->quantization->mixed);
  EXPECT_THAT(
      config_fault(with("quantization", {{"group_size", 64}, {"bits", 5}})),
      HasSubstr("config.json: quantization: key `bits`: expected 2, 3, 4, 6 or 8, found 5"));
  EXPECT_THAT(config_fault(with("quantization", {{"group_size", 48}, {"bits", 4}})),
              HasSubstr("key `group_size`: expected 32, 64 or 128, found 48"));
  EXPECT_THAT(config_fault(with("quantization", {{"group_size", 64}})),
              HasSubstr("key `bits` is missing"));
  EXPECT_THAT(config_fault(with("quantization_config", {{"quant_method", "gptq"}, {"bits", 4}})),
              HasSubstr("\"gptq\" is not supported; expected MLX affine quantisation"));
  EXPECT_THAT(
      config_fault(with("quantization", {{"group_size", 32}, {"bits", 4}, {"mode", "mxfp4"}})),
      HasSubstr("mxfp4 is not supported"));
}

TEST(Config, WhereGenerationStops) {
  EXPECT_THAT(read(half_billion(), {{"eos_token_id", {151645, 151643}}})->eos_token_ids,
              ElementsAre(151643, 151645));
  // The Hugging Face port names <|endoftext|> only; the end of a turn stays among them.
  EXPECT_THAT(read(with("eos_token_id", 151643))->eos_token_ids, ElementsAre(151643, 151645));
  EXPECT_THAT(read(half_billion(), {{"do_sample", true}})->eos_token_ids, ElementsAre(151645));
  json small = with("vocab_size", 512);
  EXPECT_THAT(read(small)->eos_token_ids, ElementsAre());
  small["eos_token_id"] = 2;
  EXPECT_THAT(read(small)->eos_token_ids, ElementsAre(2));
}

TEST(Config, NestedConfigurationOfHuggingFace) {
  json text = half_billion();
  for (const char* key : {"mm_vision_tower", "mm_hidden_size", "image_aspect_ratio"})
    text.erase(key);
  text["model_type"] = "qwen2";
  text["vocab_size"] = 152000;
  text.erase("rope_theta");
  text["rope_parameters"] = {{"rope_theta", 1000000.0}, {"rope_type", "default"}};
  const json whole = {{"model_type", "fast_vlm"},
                      {"image_token_id", 151646},
                      {"text_config", text},
                      {"vision_config", {{"architecture", "fastvit_mci3"}, {"hidden_size", 3072}}}};
  const auto config = read(whole, nullptr,
                           {{"crop_size", {{"height", 1024}, {"width", 1024}}},
                            {"image_mean", {0.0, 0.0, 0.0}},
                            {"image_std", {1.0, 1.0, 1.0}},
                            {"rescale_factor", 0.00392156862745098}});
  ASSERT_TRUE(config.ok()) << config.status().message;
  EXPECT_EQ(config->model_type, "fast_vlm");
  EXPECT_EQ(config->language.vocab_size, 152000);
  EXPECT_EQ(config->language.rope_theta, 1e6);
  EXPECT_EQ(config->image_token_index, 151646);
  EXPECT_EQ(config->mm_hidden_size, 3072);
  EXPECT_EQ(config->image_size, 1024);
  EXPECT_EQ(config->image_aspect_ratio, "");
}

TEST(Config, PreprocessorFacts) {
  const auto config = read(half_billion(), nullptr,
                           {{"size", {{"shortest_edge", 512}}},
                            {"image_mean", {0.5, 0.25, 0.125}},
                            {"image_std", {2, 2, 2}}});
  ASSERT_TRUE(config.ok()) << config.status().message;
  EXPECT_EQ(config->image_size, 1024);  // the tower's name says so, as in Apple's program
  EXPECT_THAT(config->image_mean, ElementsAre(0.5F, 0.25F, 0.125F));
  EXPECT_THAT(config->image_std, ElementsAre(2, 2, 2));
  const auto plain =
      read(half_billion(), nullptr, {{"do_normalize", false}, {"image_mean", {0.5, 0.5, 0.5}}});
  EXPECT_THAT(plain->image_mean, ElementsAre(0, 0, 0));
  const auto message = [](const json& preprocessor) {
    return read(half_billion(), nullptr, preprocessor).status().message;
  };
  EXPECT_THAT(message({{"image_std", {1, 0, 1}}}), HasSubstr("key `image_std`: expected three"));
  EXPECT_THAT(message({{"image_mean", {1, 1}}}), HasSubstr("preprocessor_config.json: key"));
  EXPECT_THAT(message({{"crop_size", {{"height", 256}, {"width", 512}}}}), HasSubstr("a square"));
  EXPECT_THAT(message({{"crop_size", -3}}), HasSubstr("key `crop_size`: expected a side"));
  EXPECT_THAT(message({{"rescale_factor", 1.0}}), HasSubstr("expected 1/255"));
}

TEST(Config, FilesThatAreNoConfiguration) {
  const test::TemporaryFolder folder;
  EXPECT_THAT(read_config(folder.path()).status().message, HasSubstr("config.json: no such file"));
  const auto with_text = [&](const std::string& text) {
    std::ofstream(folder / "config.json") << text;
    return read_config(folder.path()).status().message;
  };
  EXPECT_THAT(with_text(""), HasSubstr("config.json: is not valid JSON"));
  EXPECT_THAT(with_text("{"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(with_text("[1]"), HasSubstr("is no JSON object"));
  EXPECT_THAT(with_text("{\"a\":" + std::string(100000, '[')), HasSubstr("nested too deeply"));
  EXPECT_THAT(with_text("{\"hidden_size\": \"\xff\"}"), HasSubstr("is not valid JSON"));
}

}  // namespace
}  // namespace fastvlm
