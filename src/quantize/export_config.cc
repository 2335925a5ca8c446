// SPDX-License-Identifier: Apache-2.0
#include "quantize/export_config.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "formats/atomic_file.h"
#include "formats/json_fields.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr char kImageText[] = "<image>";
constexpr int64_t kNewImageToken = 151646;  // behind Qwen2's own added tokens

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Status write_object(const fs::path& path, const Json& object) {
  return write_file_atomically(path, object.dump(2) + "\n");
}

// The id of <image> in tokenizer_config.json, which gets it behind all others when it is not there.
int64_t image_token(Json& tokenizer_config) {
  Json& added = tokenizer_config["added_tokens_decoder"];
  int64_t next = kNewImageToken;
  if (!added.is_object()) added = Json::object();
  for (const auto& [key, token] : added.items()) {
    const int64_t id = std::strtoll(key.c_str(), nullptr, 10);
    if (token.is_object() && token.value("content", "") == kImageText) return id;
    next = std::max(next, id + 1);
  }
  added[std::to_string(next)] = {{"content", kImageText}, {"lstrip", false},
                                 {"normalized", false},   {"rstrip", false},
                                 {"single_word", false},  {"special", true}};
  return next;
}

Json preprocessor_config(const ModelConfig& config) {
  return {{"crop_size", {{"height", config.image_size}, {"width", config.image_size}}},
          {"do_center_crop", true},
          {"do_convert_rgb", true},
          {"do_normalize", true},
          {"do_rescale", true},
          {"do_resize", true},
          {"image_mean", config.image_mean},
          {"image_processor_type", "CLIPImageProcessor"},
          {"image_std", config.image_std},
          {"resample", 3},
          {"rescale_factor", 1.0 / 255},
          {"size", {{"shortest_edge", config.image_size}}}};
}

// The keys of the decoder, for a source that keeps them in text_config.
void add_decoder_keys(const ModelConfig& config, Json& json) {
  const LanguageConfig& language = config.language;
  json["hidden_size"] = language.hidden_size;
  json["intermediate_size"] = language.intermediate_size;
  json["num_hidden_layers"] = language.layers;
  json["num_attention_heads"] = language.heads;
  json["num_key_value_heads"] = language.kv_heads;
  json["vocab_size"] = language.vocab_size;
  json["max_position_embeddings"] = language.max_positions;
  json["rope_theta"] = language.rope_theta;
  json["rms_norm_eps"] = std::stod(fixed(static_cast<double>(language.rms_norm_eps), 12));
}

Json quantization(const Checkpoint& source, const ExportOptions& options) {
  const auto entry = [](const AffineSettings& settings) {
    return Json{{"group_size", settings.group}, {"bits", settings.bits}};
  };
  const Recipe& recipe = options.recipe;
  Json json = entry(recipe.linear);
  const auto add = [&](std::string_view name, const AffineSettings& settings) {
    if (settings.bits == recipe.linear.bits || !source.contains(name)) return;
    std::string module = stored_name(name, options.layout);
    module.resize(module.size() - std::string_view(".weight").size());
    json[module] = entry(settings);
  };
  add("model.embed_tokens.weight", recipe.embedding);
  add("lm_head.weight", recipe.head);
  return json;
}

}  // namespace

Status make_empty_folder(const fs::path& out) {
  std::error_code fault;
  fs::create_directories(out, fault);
  if (!fault && !fs::is_empty(out, fault)) {
    return error(Code::kUsage, cat(out.string(), ": is not empty"),
                 "name a new folder, or remove that one first");
  }
  if (!fault) return {};
  return error(Code::kIo, cat(out.string(), ": cannot be created: ", fault.message()),
               "check the folder and its permissions");
}

Status copy_small_files(const Checkpoint& source, const fs::path& out) {
  for (const char* name :
       {"tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "added_tokens.json",
        "special_tokens_map.json", "chat_template.jinja", "generation_config.json",
        "preprocessor_config.json", "processor_config.json", "LICENSE", "acknowledgments.txt"}) {
    if (!is_there(source.folder() / name)) continue;
    FASTVLM_ASSIGN(const std::string text, read_text_file(source.folder() / name));
    FASTVLM_RETURN_IF_ERROR(write_file_atomically(out / name, text));
  }
  return {};
}

Status write_export_files(const Checkpoint& source, const fs::path& out) {
  FASTVLM_RETURN_IF_ERROR(copy_small_files(source, out));
  if (is_there(out / "tokenizer_config.json")) {
    FASTVLM_ASSIGN(Json config, read_ordered_json_object(out / "tokenizer_config.json"));
    image_token(config);
    FASTVLM_RETURN_IF_ERROR(write_object(out / "tokenizer_config.json", config));
  }
  if (!is_there(out / "preprocessor_config.json") && source.config().image_size > 0) {
    FASTVLM_RETURN_IF_ERROR(
        write_object(out / "preprocessor_config.json", preprocessor_config(source.config())));
  }
  if (is_there(out / "processor_config.json")) return {};
  return write_object(out / "processor_config.json", {{"image_token", kImageText},
                                                      {"num_additional_image_tokens", 0},
                                                      {"processor_class", "LlavaProcessor"},
                                                      {"patch_size", 64}});
}

namespace {

// The source's config.json, flat as Apple's is, without what is said of types and bits.
Result<Json> flat_config(const Checkpoint& source) {
  FASTVLM_ASSIGN(Json json, read_ordered_json_object(source.folder() / "config.json"));
  const ModelConfig& config = source.config();
  if (json.contains("text_config")) {
    json.erase("text_config");
    json.erase("vision_config");
    json.erase("image_token_id");
    json["architectures"] = {"LlavaQwen2ForCausalLM"};
    add_decoder_keys(config, json);
    json["mm_hidden_size"] = config.mm_hidden_size;
    json["mm_vision_tower"] = cat("mobileclip_l_", config.image_size);
    json["mm_projector_type"] = "mlp2x_gelu";
  }
  json["model_type"] = "llava_qwen2";
  json["tie_word_embeddings"] = config.language.tied;
  for (const char* key : {"torch_dtype", "quantization", "quantization_config"}) json.erase(key);
  return json;
}

}  // namespace

Status write_float_config(const Checkpoint& source, const fs::path& out, DType dtype) {
  FASTVLM_ASSIGN(Json json, flat_config(source));
  json["torch_dtype"] = dtype == DType::kBF16  ? "bfloat16"
                        : dtype == DType::kF16 ? "float16"
                                               : "float32";
  return write_object(out / "config.json", json);
}

Status write_export_config(const Checkpoint& source, const fs::path& out,
                           const ExportOptions& options) {
  FASTVLM_ASSIGN(Json json, flat_config(source));
  if (!json.contains("image_token_index")) {
    int64_t id = kNewImageToken;
    if (is_there(out / "tokenizer_config.json")) {
      FASTVLM_ASSIGN(Json tokenizer, read_ordered_json_object(out / "tokenizer_config.json"));
      id = image_token(tokenizer);
    }
    json["image_token_index"] = id;
  }
  json["quantization"] = quantization(source, options);
  return write_object(out / "config.json", json);
}

}  // namespace fastvlm
