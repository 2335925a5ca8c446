// SPDX-License-Identifier: Apache-2.0
// The facts of a checkpoint folder's config.json (and preprocessor_config.json,
// generation_config.json where present) that the program uses, for Apple's LLaVA-Qwen2, Hugging
// Face FastVlm, MLX and plain Qwen2 layouts alike.
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
  // The head is the embedding. Where config.json does not say (`tied_stated` false), a Checkpoint
  // sets it by whether a head is stored.
  bool tied = false;
  bool tied_stated = false;
};

struct QuantizationConfig {
  int bits = 4;
  int64_t group_size = 64;
  bool mixed = false;  // config.json names modules with settings of their own
};

struct ModelConfig {
  std::string model_type;  // "llava_qwen2", "fast_vlm", ...
  LanguageConfig language;
  std::optional<QuantizationConfig> quantization;
  std::string vision_tower;        // "mobileclip_l_1024"; empty when the file does not say
  int64_t mm_hidden_size = 0;      // width of the tower's tokens; 0 when the file does not say
  int64_t image_size = 0;          // side in pixels; 0 when the file does not say
  std::string image_aspect_ratio;  // "pad", or empty for the processor's crop
  std::array<float, 3> image_mean{0, 0, 0};
  std::array<float, 3> image_std{1, 1, 1};
  int64_t image_token_index = -200;
  std::vector<int64_t> eos_token_ids;  // where generation stops, ascending; all below vocab_size
  int64_t max_context = 8192;          // tokenizer_model_max_length, at most max_positions
};

// Reads and checks config.json of `folder`. Missing keys, wrong types, values out of range and
// settings that this program does not compute (rope scaling, sliding windows, other projectors)
// are errors that name file and key.
Result<ModelConfig> read_config(const std::filesystem::path& folder);

}  // namespace fastvlm
