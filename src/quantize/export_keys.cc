// SPDX-License-Identifier: Apache-2.0
#include "quantize/export_keys.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/strings.h"
#include "formats/json_fields.h"
#include "formats/safetensors.h"
#include "formats/tensor_lists.h"
#include "quantize/float_tensors.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A module of a reader's tree. `N` in its name is each layer.
struct Module {
  const char* name;
  bool weight_only;  // a norm: never quantised
  bool bias;
};

constexpr Module kDecoder[] = {
    {"language_model.model.embed_tokens", false, false},
    {"language_model.model.layers.N.input_layernorm", true, false},
    {"language_model.model.layers.N.self_attn.q_proj", false, true},
    {"language_model.model.layers.N.self_attn.k_proj", false, true},
    {"language_model.model.layers.N.self_attn.v_proj", false, true},
    {"language_model.model.layers.N.self_attn.o_proj", false, false},
    {"language_model.model.layers.N.post_attention_layernorm", true, false},
    {"language_model.model.layers.N.mlp.gate_proj", false, false},
    {"language_model.model.layers.N.mlp.up_proj", false, false},
    {"language_model.model.layers.N.mlp.down_proj", false, false},
    {"language_model.model.norm", true, false},
};
constexpr Module kAppHead = {"language_model.lm_head", false, false};
constexpr Module kAppProjector[] = {{"multi_modal_projector.linear_0", false, true},
                                    {"multi_modal_projector.linear_2", false, true}};
constexpr Module kVlmProjector[] = {{"mm_projector.0", false, true},
                                    {"mm_projector.2", false, true}};
// Without these the app's configuration types do not decode; mlx-vlm has defaults for some.
constexpr const char* kConfigKeys[] = {
    "model_type",        "hidden_size",         "num_hidden_layers",
    "intermediate_size", "num_attention_heads", "num_key_value_heads",
    "vocab_size",        "mm_hidden_size",      "image_token_index"};

class Check {
 public:
  Check(const std::map<std::string, TensorView, std::less<>>& tensors, json config, Layout layout)
      : tensors_(tensors), config_(std::move(config)), layout_(layout) {}

  std::vector<std::string> run() {
    for (const char* key : kConfigKeys) {
      if (!config_.contains(key)) problems_.push_back(cat("config.json: no key `", key, "`"));
    }
    if (!problems_.empty()) return std::move(problems_);
    const auto layers = config_.value("num_hidden_layers", int64_t{0});
    for (const Module& module : kDecoder) {
      const std::string name = module.name;
      const size_t at = name.find(".N.");
      if (at == std::string::npos) {
        take(name, module);
        continue;
      }
      for (int64_t layer = 0; layer < layers; ++layer) {
        take(cat(name.substr(0, at + 1), layer, name.substr(at + 2)), module);
      }
    }
    if (!config_.value("tie_word_embeddings", true)) take(kAppHead.name, kAppHead);
    const bool app = layout_ == Layout::kMlxPatch;
    for (const Module& module : app ? kAppProjector : kVlmProjector) take(module.name, module);
    if (!app) take_tower();
    for (const auto& [name, tensor] : tensors_) {
      if (!taken_.contains(name)) problems_.push_back(cat(name, ": not a tensor that they know"));
    }
    return std::move(problems_);
  }

 private:
  const TensorView* find(const std::string& name) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) {
      problems_.push_back(cat(name, ": missing"));
      return nullptr;
    }
    taken_.insert(name);
    return &found->second;
  }

  // A module's tensors; a quantised one's three parts must fit each other and config.json.
  void take(const std::string& name, const Module& module) {
    if (module.bias) find(name + ".bias");
    const TensorView* weight = find(name + ".weight");
    if (weight == nullptr || !tensors_.contains(name + ".scales")) return;
    if (module.weight_only) problems_.push_back(cat(name, ": a norm cannot be quantised"));
    const TensorView* scales = find(name + ".scales");
    const TensorView* biases = find(name + ".biases");
    if (biases == nullptr) return;
    const json quantization = config_.value("quantization", json::object());
    const json settings = quantization.value(name, quantization);
    const int64_t bits = settings.value("bits", int64_t{0});
    const int64_t group = settings.value("group_size", int64_t{0});
    const bool fits = bits > 0 && weight->shape.size() == 2 && scales->shape.size() == 2 &&
                      scales->shape == biases->shape && weight->shape[0] == scales->shape[0] &&
                      weight->shape[1] * 32 == scales->shape[1] * group * bits;
    if (!fits) {
      problems_.push_back(cat(name, ": ", bracketed(weight->shape), " with scales ",
                              bracketed(scales->shape), " is not ", bits, " bits in groups of ",
                              group));
    }
    if (layout_ == Layout::kMlxPatch && quantization.contains(name)) {
      problems_.push_back(cat(name, ": has settings of its own, which Apple's app does not read"));
    }
  }

  // mlx-vlm builds FastViTHD and nothing else, whatever config.json says: one line for all that is
  // otherwise.
  void take_tower() {
    std::string first;
    int others = -1;
    for (const NamedShape& tensor : fastvit_tensors(fastvit_hd())) {
      if (tensor.name.ends_with(".num_batches_tracked")) continue;
      const std::string name = stored_name(cat("vision.", tensor.name), Layout::kMlxVlm);
      taken_.insert(name);
      const std::vector<int64_t> shape = last_channels(tensor.shape);
      const auto found = tensors_.find(name);
      if (found != tensors_.end() && found->second.shape == shape) continue;
      if (++others > 0) continue;
      first = cat(name, ": expected ", bracketed(shape), ", found ",
                  found == tensors_.end() ? "none" : bracketed(found->second.shape));
    }
    if (others < 0) return;
    problems_.push_back(
        cat("the tower is not FastViTHD, and they build no other: ", first, "; ", others, " more"));
  }

  const std::map<std::string, TensorView, std::less<>>& tensors_;
  json config_;
  Layout layout_;
  std::set<std::string, std::less<>> taken_;
  std::vector<std::string> problems_;
};

}  // namespace

std::string readers_of(Layout layout) {
  return layout == Layout::kMlxPatch ? "Apple's app" : "mlx-vlm and mlx-swift-lm";
}

Result<std::vector<std::string>> check_export_keys(const fs::path& folder, Layout layout) {
  FASTVLM_ASSIGN(json config, read_json_object(folder / "config.json"));
  FASTVLM_ASSIGN(const SafetensorsFile file, SafetensorsFile::open(folder / "model.safetensors"));
  return Check(file.tensors(), std::move(config), layout).run();
}

}  // namespace fastvlm
