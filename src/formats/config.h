// SPDX-License-Identifier: Apache-2.0
// The facts of a checkpoint folder's config.json (and preprocessor_config.json, generation_config.json where present) that
// the program uses, for Apple's LLaVA-Qwen2, Hugging Face FastVlm and MLX layouts alike.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace fastvlm {

// Qwen2 decoder dimensions (design sheet: docs/MODEL.md, section 3).
struct LanguageConfig {
  int64_t hidden_size = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t intermediate_size = 0;
  int64_t vocab_size = 0;
  int64_t max_positions = 32768;
  double rope_theta = 1e6;
  float rms_norm_eps = 1e-6F;
  bool tied = false;  // the head is the embedding
};

struct QuantizationConfig {
  int bits = 4;
  int64_t group_size = 64;
};

struct ModelConfig {
  std::string model_type;  // "llava_qwen2", "fast_vlm", ...
  LanguageConfig language;
  std::optional<QuantizationConfig> quantization;
  std::string vision_tower;         // "mobileclip_l_1024"; empty when the file does not say
  int64_t mm_hidden_size = 0;       // width of the tower's tokens as the config says; 0 when it does not
  int64_t image_size = 0;           // side in pixels; 0 when the file does not say
  std::string image_aspect_ratio;   // "pad", or empty for the processor's crop
  std::array<float, 3> image_mean{0, 0, 0};
  std::array<float, 3> image_std{1, 1, 1};
  int64_t image_token_index = -200;
  std::vector<int64_t> eos_token_ids;      // where generation stops
  int64_t max_context = 8192;              // tokenizer_model_max_length
};

Result<ModelConfig> read_config(const std::filesystem::path& folder);

}  // namespace fastvlm
