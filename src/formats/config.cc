// SPDX-License-Identifier: Apache-2.0
#include "formats/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/strings.h"
#include "formats/affine.h"
#include "formats/json_fields.h"
#include "formats/weight_files.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr int64_t kWidest = int64_t{1} << 20;   // of any layer; products stay far from overflow
constexpr int64_t kLongest = int64_t{1} << 24;  // positions
constexpr int64_t kLargestImage = int64_t{1} << 14;  // side in pixels
constexpr int64_t kImEnd = 151645;                   // <|im_end|>, where Qwen2's turns end

Status unsupported(const std::string& file, const char* key, const std::string& found,
                   const char* supported) {
  return error(Code::kUnsupported,
               cat(file, ": key `", key, "`: ", found, " is not supported; expected ", supported),
               "use a checkpoint of the FastVLM family (Qwen2 decoder, mlp2x_gelu projector)");
}

// Settings that would change the arithmetic in ways the decoder does not compute.
Status check_language_variants(const JsonFields& fields, const std::string& file) {
  FASTVLM_ASSIGN(const auto activation, fields.find_string("hidden_act"));
  if (activation && *activation != "silu") {
    return unsupported(file, "hidden_act", *activation, "silu");
  }
  FASTVLM_ASSIGN(const auto sliding, fields.find_bool("use_sliding_window"));
  if (sliding.value_or(false)) {
    return unsupported(file, "use_sliding_window", "true", "false");
  }
  if (const json* types = fields.find("layer_types"); types != nullptr && types->is_array()) {
    for (const json& type : *types) {
      if (type != "full_attention") {
        return unsupported(file, "layer_types", type.dump(), "\"full_attention\" everywhere");
      }
    }
  }
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const json* scaling = fields.find_object(key);
    if (scaling == nullptr) continue;
    for (const char* type_key : {"rope_type", "type"}) {
      const auto type = scaling->find(type_key);
      if (type != scaling->end() && *type != "default") {
        return unsupported(file, key, type->dump(), "no scaling");
      }
    }
  }
  return {};
}

// rope_theta stands by itself, or within rope_parameters in files of newer writers.
Result<double> read_rope_theta(const JsonFields& fields, const std::string& file) {
  FASTVLM_ASSIGN(auto theta, fields.find_number("rope_theta", 1.0, 1e12));
  if (theta) return *theta;
  if (const json* parameters = fields.find_object("rope_parameters"); parameters != nullptr) {
    FASTVLM_ASSIGN(theta, JsonFields(file, {parameters}).find_number("rope_theta", 1.0, 1e12));
    if (theta) return *theta;
  }
  return fields.missing("rope_theta", "a number such as 1000000.0");
}

Status check_language_shape(const LanguageConfig& config, bool head_dim_stated,
                            const std::string& file) {
  const auto bad = [&](const std::string& what) {
    return error(Code::kInvalid, cat(file, ": ", what),
                 "restore the file from the checkpoint's source");
  };
  if (config.heads % config.kv_heads != 0) {
    return bad(cat("num_attention_heads ", config.heads,
                   " is not a multiple of num_key_value_heads ", config.kv_heads));
  }
  if (!head_dim_stated && config.hidden_size % config.heads != 0) {
    return bad(cat("hidden_size ", config.hidden_size, " is not a multiple of num_attention_heads ",
                   config.heads));
  }
  if (config.head_dim % 2 != 0) {
    return bad(cat("head_dim ", config.head_dim, " is odd; rotary positions need pairs"));
  }
  return {};
}

Result<LanguageConfig> read_language(const JsonFields& fields, const std::string& file) {
  FASTVLM_RETURN_IF_ERROR(check_language_variants(fields, file));
  LanguageConfig config;
  FASTVLM_ASSIGN(config.hidden_size, fields.integer("hidden_size", 1, kWidest));
  FASTVLM_ASSIGN(config.layers, fields.integer("num_hidden_layers", 1, 1000));
  FASTVLM_ASSIGN(config.heads, fields.integer("num_attention_heads", 1, 4096));
  FASTVLM_ASSIGN(config.kv_heads, fields.integer("num_key_value_heads", 1, 4096));
  FASTVLM_ASSIGN(config.intermediate_size, fields.integer("intermediate_size", 1, kWidest));
  FASTVLM_ASSIGN(config.vocab_size, fields.integer("vocab_size", 1, kLongest));
  FASTVLM_ASSIGN(const auto positions, fields.find_integer("max_position_embeddings", 1, kLongest));
  config.max_positions = positions.value_or(config.max_positions);
  FASTVLM_ASSIGN(const auto head_dim, fields.find_integer("head_dim", 2, 4096));
  config.head_dim = head_dim.value_or(config.hidden_size / config.heads);
  FASTVLM_RETURN_IF_ERROR(check_language_shape(config, head_dim.has_value(), file));
  FASTVLM_ASSIGN(config.rope_theta, read_rope_theta(fields, file));
  FASTVLM_ASSIGN(const auto eps, fields.find_number("rms_norm_eps", 0.0, 1.0));
  config.rms_norm_eps = static_cast<float>(eps.value_or(1e-6));
  FASTVLM_ASSIGN(const auto tied, fields.find_bool("tie_word_embeddings"));
  config.tied = tied.value_or(false);
  config.tied_stated = tied.has_value();
  return config;
}

// MLX writes `quantization`, at times with the same under `quantization_config`; the second key
// alone may also come from other quantisers, whose tensors we do not read.
Result<std::optional<QuantizationConfig>> read_quantization(const JsonFields& top,
                                                            const std::string& file) {
  const json* object = top.find_object("quantization");
  const char* key = "quantization";
  if (object == nullptr) {
    object = top.find_object("quantization_config");
    key = "quantization_config";
  }
  if (object == nullptr) return std::optional<QuantizationConfig>();
  if (const auto method = object->find("quant_method"); method != object->end()) {
    return unsupported(file, key, method->dump(), "MLX affine quantisation");
  }
  const JsonFields fields(cat(file, ": ", key), {object});
  FASTVLM_ASSIGN(const auto mode, fields.find_string("mode"));
  if (mode && *mode != "affine") {
    return unsupported(file, "quantization.mode", *mode, "affine");
  }
  QuantizationConfig config;
  FASTVLM_ASSIGN(const int64_t bits, fields.integer("bits", 1, 32));
  if (!is_affine_width(bits)) return fields.wrong("bits", "2, 3, 4, 6 or 8");
  config.bits = static_cast<int>(bits);
  FASTVLM_ASSIGN(config.group_size, fields.integer("group_size", 1, 4096));
  if (config.group_size % 32 != 0) return fields.wrong("group_size", "32, 64 or 128");
  config.mixed = std::any_of(object->begin(), object->end(),
                             [](const json& value) { return value.is_object(); });
  return std::optional<QuantizationConfig>(config);
}

// "mobileclip_l_1024" -> 1024; 0 when the name does not end so.
int64_t size_in_name(const std::string& name) {
  const std::string last = split(name, '_').back();
  int64_t size = 0;
  const auto [end, fault] = std::from_chars(last.data(), last.data() + last.size(), size);
  const bool whole = fault == std::errc() && end == last.data() + last.size();
  return whole && size >= 1 && size <= kLargestImage ? size : 0;
}

Status check_vision_variants(const JsonFields& top, const std::string& file) {
  const struct {
    const char* key;
    const char* supported;
  } texts[] = {{"mm_projector_type", "mlp2x_gelu"},
               {"projector_hidden_act", "gelu"},
               {"mm_patch_merge_type", "flat"},
               {"vision_feature_select_strategy", "full"},
               {"image_aspect_ratio", "pad"}};
  for (const auto& [key, supported] : texts) {
    FASTVLM_ASSIGN(const auto value, top.find_string(key));
    if (value && *value != supported) return unsupported(file, key, *value, supported);
  }
  for (const char* key : {"mm_use_im_start_end", "mm_use_im_patch_token"}) {
    FASTVLM_ASSIGN(const auto value, top.find_bool(key));
    if (value.value_or(false)) return unsupported(file, key, "true", "false");
  }
  return {};
}

Status read_vision(const JsonFields& top, const std::string& file, ModelConfig& config) {
  FASTVLM_RETURN_IF_ERROR(check_vision_variants(top, file));
  FASTVLM_ASSIGN(const auto tower, top.find_string("mm_vision_tower"));
  config.vision_tower = tower.value_or("");
  FASTVLM_ASSIGN(const auto aspect, top.find_string("image_aspect_ratio"));
  config.image_aspect_ratio = aspect.value_or("");
  FASTVLM_ASSIGN(const auto width, top.find_integer("mm_hidden_size", 1, kWidest));
  config.mm_hidden_size = width.value_or(0);
  config.image_size = size_in_name(config.vision_tower);

  // Hugging Face describes the timm tower in vision_config; mlx-vlm's key of the same name holds
  // other widths.
  const json* vision = top.find_object("vision_config");
  if (vision != nullptr && vision->contains("architecture")) {
    const JsonFields fields(cat(file, ": vision_config"), {vision});
    FASTVLM_ASSIGN(const auto name, fields.find_string("architecture"));
    if (config.vision_tower.empty()) config.vision_tower = name.value_or("");
    FASTVLM_ASSIGN(const auto hidden, fields.find_integer("hidden_size", 1, kWidest));
    if (config.mm_hidden_size == 0) config.mm_hidden_size = hidden.value_or(0);
  }
  for (const char* key : {"image_token_index", "image_token_id"}) {
    FASTVLM_ASSIGN(const auto index, top.find_integer(key, -200, kLongest));
    if (index) config.image_token_index = *index;
  }
  return {};
}

// Adds the ids of key eos_token_id, one integer or a list of them.
Status add_eos(const JsonFields& fields, std::vector<int64_t>& ids) {
  const json* value = fields.find("eos_token_id");
  if (value == nullptr) return {};
  const json list = value->is_array() ? *value : json::array({*value});
  for (const json& id : list) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > static_cast<uint64_t>(kLongest)) {
      return fields.wrong("eos_token_id", "a token id or a list of token ids");
    }
    ids.push_back(id.get<int64_t>());
  }
  return {};
}

// generation_config.json wins over config.json. <|im_end|> ends every turn of FastVLM's template
// and is always among them where the vocabulary has it: Hugging Face's port names only
// <|endoftext|>, which a caption never reaches.
Status read_eos(const std::filesystem::path& folder, const JsonFields& fields,
                ModelConfig& config) {
  std::vector<int64_t>& ids = config.eos_token_ids;
  const std::filesystem::path path = folder / "generation_config.json";
  if (file_exists(path)) {
    FASTVLM_ASSIGN(const json object, read_json_object(path));
    FASTVLM_RETURN_IF_ERROR(add_eos(JsonFields(path.string(), {&object}), ids));
  }
  if (ids.empty()) FASTVLM_RETURN_IF_ERROR(add_eos(fields, ids));
  ids.push_back(kImEnd);
  // An id outside the vocabulary is never produced.
  std::erase_if(ids, [&](int64_t id) { return id >= config.language.vocab_size; });
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return {};
}

// A size as an integer, {"height", "width"} (which must agree) or {"shortest_edge"}.
Result<int64_t> read_size(const JsonFields& fields, const char* key) {
  const json* value = fields.find(key);
  if (value == nullptr) return int64_t{0};
  json side = *value;
  if (value->is_object()) {
    const json height = value->value("height", json());
    if (height != value->value("width", json())) return fields.wrong(key, "a square");
    side = height.is_null() ? value->value("shortest_edge", json()) : height;
  }
  const bool fits = side.is_number_unsigned() && side.get<uint64_t>() >= 1 &&
                    side.get<uint64_t>() <= static_cast<uint64_t>(kLargestImage);
  if (!fits) return fields.wrong(key, cat("a side from 1 to ", kLargestImage, " pixels"));
  return side.get<int64_t>();
}

Status read_triple(const JsonFields& fields, const char* key, double lowest,
                   std::array<float, 3>& out) {
  const json* value = fields.find(key);
  if (value == nullptr) return {};
  const bool numbers =
      value->is_array() && value->size() == out.size() &&
      std::all_of(value->begin(), value->end(), [&](const json& number) {
        return number.is_number() && number.get<double>() >= lowest && number.get<double>() <= 1e3;
      });
  if (!numbers) return fields.wrong(key, "three numbers, one a channel");
  for (size_t i = 0; i < out.size(); ++i) out[i] = (*value)[i].get<float>();
  return {};
}

Status read_preprocessor(const std::filesystem::path& folder, ModelConfig& config) {
  const std::filesystem::path path = folder / "preprocessor_config.json";
  if (!file_exists(path)) return {};
  FASTVLM_ASSIGN(const json object, read_json_object(path));
  const JsonFields fields(path.string(), {&object});
  FASTVLM_ASSIGN(const auto rescale, fields.find_bool("do_rescale"));
  FASTVLM_ASSIGN(const auto factor, fields.find_number("rescale_factor", 0.0, 1e6));
  if (!rescale.value_or(true) || std::abs(factor.value_or(1.0 / 255) - 1.0 / 255) > 1e-9) {
    return unsupported(path.string(), "rescale_factor", "another scale than 1/255", "1/255");
  }
  FASTVLM_ASSIGN(const auto normalize, fields.find_bool("do_normalize"));
  if (normalize.value_or(true)) {
    FASTVLM_RETURN_IF_ERROR(read_triple(fields, "image_mean", -1e3, config.image_mean));
    FASTVLM_RETURN_IF_ERROR(read_triple(fields, "image_std", 1e-6, config.image_std));
  }
  for (const char* key : {"crop_size", "size"}) {
    FASTVLM_ASSIGN(const int64_t side, read_size(fields, key));
    if (config.image_size == 0) config.image_size = side;
  }
  return {};
}

// The last resort for the image's side: what the tower's own section says.
Status read_tower_image_size(const JsonFields& top, const std::string& file, ModelConfig& config) {
  for (const char* key : {"vision_config", "vision_cfg"}) {
    const json* object = top.find_object(key);
    if (object == nullptr || config.image_size != 0) continue;
    FASTVLM_ASSIGN(
        const auto side,
        JsonFields(cat(file, ": ", key), {object}).find_integer("image_size", 1, kLargestImage));
    config.image_size = side.value_or(0);
  }
  return {};
}

}  // namespace

Result<ModelConfig> read_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  const std::string file = path.string();
  if (!file_exists(path)) {
    return error(Code::kNotFound, cat(file, ": no such file"),
                 "name a checkpoint folder: config.json beside *.safetensors");
  }
  FASTVLM_ASSIGN(const json object, read_json_object(path));
  const JsonFields top(file, {&object});
  const json* text = top.find_object("text_config");
  const JsonFields language =
      text != nullptr ? JsonFields(file, {text, &object}) : JsonFields(file, {&object});

  ModelConfig config;
  FASTVLM_ASSIGN(const auto type, top.find_string("model_type"));
  config.model_type = type.value_or("");
  FASTVLM_ASSIGN(config.language, read_language(language, file));
  FASTVLM_ASSIGN(config.quantization, read_quantization(top, file));
  FASTVLM_RETURN_IF_ERROR(read_vision(top, file, config));
  FASTVLM_RETURN_IF_ERROR(read_eos(folder, language, config));
  FASTVLM_RETURN_IF_ERROR(read_preprocessor(folder, config));
  FASTVLM_RETURN_IF_ERROR(read_tower_image_size(top, file, config));
  FASTVLM_ASSIGN(const auto context, top.find_integer("tokenizer_model_max_length", 1, kLongest));
  config.max_context =
      std::min(context.value_or(config.max_context), config.language.max_positions);
  return config;
}

}  // namespace fastvlm
