// SPDX-License-Identifier: Apache-2.0
// Writes a tiny golden checkpoint in every layout that users have, so that one test can run all of
// them. The names are spelled from docs/FORMATS.md, independently of the loader's own tables.
//
//   TemporaryFolder folder;
//   for (const LayoutCase& layout : all_layouts()) {
//     layout.write(golden("vlm/hd_tied"), folder / layout.name);
//     Checkpoint::open(folder / layout.name)
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/strings.h"
#include "formats/safetensors.h"

namespace fastvlm::test {

struct OwnedTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

inline std::vector<OwnedTensor> read_tensors(const std::filesystem::path& path) {
  std::vector<OwnedTensor> tensors;
  const auto file = SafetensorsFile::open(path);
  EXPECT_TRUE(file.ok()) << file.status().message;
  if (!file.ok()) return tensors;
  for (const auto& [name, view] : file->tensors()) {
    tensors.push_back({name, view.dtype, view.shape, {view.bytes.begin(), view.bytes.end()}});
  }
  return tensors;
}

inline void write_tensors(const std::filesystem::path& path,
                          const std::vector<OwnedTensor>& tensors) {
  std::vector<TensorToWrite> views;
  for (const OwnedTensor& tensor : tensors) {
    views.push_back({tensor.name, tensor.dtype, tensor.shape, tensor.bytes});
  }
  const Status written = write_safetensors(path, views);
  EXPECT_TRUE(written.ok()) << written.message;
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file, nullptr, false);
}

inline void write_json(const std::filesystem::path& path, const nlohmann::json& json) {
  std::ofstream(path) << json.dump(1);
}

// The text with its first `from` replaced; unchanged when there is none.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

inline bool begins(const std::string& text, const std::string& prefix) {
  return text.rfind(prefix, 0) == 0;
}

inline const std::string kLlavaTower = "model.vision_tower.vision_tower.model.";

// Apple's tower key in timm's names: "network.3.proj.0.lkb_reparam.weight" ->
// "stages.2.downsample.proj.0.reparam_conv.weight".
inline std::string timm_key(const std::string& key) {
  if (begins(key, "patch_embed.")) return replaced(key, "patch_embed.", "stem.");
  if (begins(key, "conv_exp.")) {
    return replaced(replaced(replaced(key, "conv_exp.", "final_conv."), "se.reduce", "se.fc1"),
                    "se.expand", "se.fc2");
  }
  const std::vector<std::string> parts = split(key, '.');
  const int position = std::stoi(parts[1]);
  constexpr int kStage[] = {0, 1, 1, 2, 2, 3, 3, 3, 4, 4, 4};
  std::string rest;
  for (size_t i = 2; i < parts.size(); ++i) rest += "." + parts[i];
  const std::string stage = cat("stages.", kStage[position]);
  if (position == 6 || position == 9) {
    // FastViTHD has positional encodings here, S0 has one at 6.
    return stage + ".pos_emb" + rest;
  }
  if (parts[2] == "proj") {
    return stage + ".downsample" + replaced(rest, "lkb_reparam", "reparam_conv");
  }
  rest = replaced(rest, ".convffn.", ".mlp.");
  if (parts.back().rfind("layer_scale", 0) == 0) rest += ".gamma";
  return stage + ".blocks" + rest;
}

// [out, in, kH, kW] -> [out, kH, kW, in].
inline void to_channels_last(OwnedTensor& tensor) {
  const std::vector<int64_t> shape = tensor.shape;
  const auto outputs = static_cast<size_t>(shape[0]);
  const auto inputs = static_cast<size_t>(shape[1]);
  const auto kernel = static_cast<size_t>(shape[2] * shape[3]);
  const size_t size = dtype_size(tensor.dtype);
  std::vector<std::byte> bytes(tensor.bytes.size());
  for (size_t o = 0; o < outputs; ++o) {
    for (size_t i = 0; i < inputs; ++i) {
      for (size_t k = 0; k < kernel; ++k) {
        std::memcpy(&bytes[((o * kernel + k) * inputs + i) * size],
                    &tensor.bytes[((o * inputs + i) * kernel + k) * size], size);
      }
    }
  }
  tensor.bytes = std::move(bytes);
  tensor.shape = {shape[0], shape[2], shape[3], shape[1]};
}

inline void copy_llava(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::create_directories(to);
  std::filesystem::copy(from / "model.safetensors", to / "model.safetensors");
  std::filesystem::copy(from / "config.json", to / "config.json");
}

// Two shards with an index.
inline void write_sharded(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::create_directories(to);
  std::filesystem::copy(from / "config.json", to / "config.json");
  std::vector<OwnedTensor> shards[2];
  nlohmann::json map = nlohmann::json::object();
  size_t position = 0;
  for (OwnedTensor& tensor : read_tensors(from / "model.safetensors")) {
    const size_t shard = position++ % 2;
    map[tensor.name] = cat("model-0000", shard + 1, "-of-00002.safetensors");
    shards[shard].push_back(std::move(tensor));
  }
  write_tensors(to / "model-00001-of-00002.safetensors", shards[0]);
  write_tensors(to / "model-00002-of-00002.safetensors", shards[1]);
  write_json(to / "model.safetensors.index.json",
             {{"metadata", {{"total_size", 0}}}, {"weight_map", map}});
}

// FastVlm of transformers: timm tower without head.proj, nested configuration.
inline void write_hugging_face(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::create_directories(to);
  std::vector<OwnedTensor> tensors;
  for (OwnedTensor& tensor : read_tensors(from / "model.safetensors")) {
    std::string& name = tensor.name;
    if (begins(name, kLlavaTower)) {
      const std::string key = name.substr(kLlavaTower.size());
      if (begins(key, "head.")) continue;
      name = "model.vision_tower.timm_model." + timm_key(key);
    } else if (begins(name, "model.mm_projector.")) {
      name = replaced(name, "mm_projector.0", "multi_modal_projector.linear_1");
      name = replaced(name, "mm_projector.2", "multi_modal_projector.linear_2");
    } else if (begins(name, "model.")) {
      name = replaced(name, "model.", "model.language_model.");
    }
    tensors.push_back(std::move(tensor));
  }
  write_tensors(to / "model.safetensors", tensors);

  const nlohmann::json llava = read_json(from / "config.json");
  nlohmann::json text = {{"model_type", "qwen2"}, {"hidden_act", "silu"}};
  for (const char* key : {"hidden_size", "num_hidden_layers", "num_attention_heads",
                          "num_key_value_heads", "intermediate_size", "vocab_size", "rope_theta",
                          "rms_norm_eps", "max_position_embeddings", "tie_word_embeddings"}) {
    text[key] = llava[key];
  }
  write_json(to / "config.json", {{"model_type", "fast_vlm"},
                                  {"image_token_id", 511},
                                  {"projector_hidden_act", "gelu"},
                                  {"vision_feature_select_strategy", "full"},
                                  {"vision_feature_layer", -1},
                                  {"text_config", text},
                                  {"vision_config",
                                   {{"model_type", "timm_wrapper"},
                                    {"architecture", "fastvit_mci3"},
                                    {"hidden_size", llava["mm_hidden_size"]}}}});
  write_json(to / "preprocessor_config.json", {{"crop_size", {{"height", 256}, {"width", 256}}},
                                               {"size", {{"shortest_edge", 256}}},
                                               {"image_mean", {0.0, 0.0, 0.0}},
                                               {"image_std", {1.0, 1.0, 1.0}}});
}

// Apple's patch: the 4-bit golden, with the tower beside it as vision_tower.safetensors.
inline void write_mlx_patch(const std::filesystem::path& from, const std::filesystem::path& to) {
  std::filesystem::create_directories(to);
  std::filesystem::copy(from / "mlx_4bit.safetensors", to / "model.safetensors");
  std::filesystem::copy(from / "mlx_config.json", to / "config.json");
  std::vector<OwnedTensor> tower;
  for (OwnedTensor& tensor : read_tensors(from / "model.safetensors")) {
    if (begins(tensor.name, kLlavaTower)) tower.push_back(std::move(tensor));
  }
  write_tensors(to / "vision_tower.safetensors", tower);
}

// mlx-vlm: a transposed tower inside the file; decoder and projector as they are, or, with
// `quantized`, those of the 4-bit golden.
inline void write_mlx_vlm(const std::filesystem::path& from, const std::filesystem::path& to,
                          bool quantized) {
  std::filesystem::create_directories(to);
  std::vector<OwnedTensor> tensors;
  for (OwnedTensor& tensor : read_tensors(from / "model.safetensors")) {
    std::string& name = tensor.name;
    if (begins(name, kLlavaTower)) {
      if (name.ends_with("num_batches_tracked")) continue;
      name = "vision_tower.vision_model." + name.substr(kLlavaTower.size());
      name = replaced(name, "patch_embed.", "patch_embed.blocks.");
      if (tensor.shape.size() == 4) to_channels_last(tensor);
      if (tensor.shape.size() == 3) tensor.shape = {1, 1, tensor.shape[0]};
    } else if (quantized) {
      continue;
    } else if (begins(name, "model.mm_projector.")) {
      name = replaced(name, "model.", "");
    } else {
      name = "language_model." + name;
    }
    tensors.push_back(std::move(tensor));
  }
  if (quantized) {
    for (OwnedTensor& tensor : read_tensors(from / "mlx_4bit.safetensors")) {
      tensor.name = replaced(tensor.name, "multi_modal_projector.linear_", "mm_projector.");
      tensors.push_back(std::move(tensor));
    }
  }
  write_tensors(to / "model.safetensors", tensors);
  std::filesystem::copy(from / (quantized ? "mlx_config.json" : "config.json"), to / "config.json");
}

// One way to store a golden model. `exact`: the weights are those of model.safetensors; otherwise
// decoder and projector are those of the 4-bit export.
struct LayoutCase {
  std::string name;
  bool exact;
  std::function<void(const std::filesystem::path& from, const std::filesystem::path& to)> write;
};

inline std::vector<LayoutCase> all_layouts() {
  using Path = std::filesystem::path;
  return {{"llava", true, copy_llava},
          {"sharded", true, write_sharded},
          {"hugging_face", true, write_hugging_face},
          {"mlx_vlm", true, [](const Path& a, const Path& b) { write_mlx_vlm(a, b, false); }},
          {"mlx_vlm_4bit", false, [](const Path& a, const Path& b) { write_mlx_vlm(a, b, true); }},
          {"mlx_patch_4bit", false, write_mlx_patch}};
}

}  // namespace fastvlm::test
