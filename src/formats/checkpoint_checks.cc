// SPDX-License-Identifier: Apache-2.0
// Does what config.json says agree with the tensors?
#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/strings.h"
#include "formats/checkpoint_state.h"
#include "formats/hints.h"
#include "formats/tensor_lists.h"

namespace fastvlm {
namespace {

constexpr char kHead[] = "lm_head.weight";
constexpr char kEmbedding[] = "model.embed_tokens.weight";

std::string config_path(const Checkpoint::State& state) {
  return (state.folder / "config.json").string();
}

// The keys of config.json that a decoder tensor's shape follows from.
std::string_view keys_behind(std::string_view name) {
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (has("embed_tokens") || has("lm_head")) return "vocab_size, hidden_size";
  if (has("mlp.")) return "intermediate_size, hidden_size";
  if (has("k_proj") || has("v_proj")) return "num_key_value_heads, hidden_size";
  if (has("self_attn.")) return "num_attention_heads, hidden_size";
  return "hidden_size";
}

// How many layers the tensors speak of: the highest index and one.
int64_t stored_layers(const Checkpoint::State& state) {
  constexpr std::string_view kPrefix = "model.layers.";
  int64_t layers = 0;
  for (auto at = state.tensors.lower_bound(kPrefix);
       at != state.tensors.end() && at->first.starts_with(kPrefix); ++at) {
    int64_t index = 0;
    const char* digits = at->first.data() + kPrefix.size();
    std::from_chars(digits, at->first.data() + at->first.size(), index);
    if (index < 1'000'000) layers = std::max(layers, index + 1);
  }
  return layers;
}

Status check_layer_count(const Checkpoint::State& state) {
  const int64_t stored = stored_layers(state);
  const int64_t configured = state.config.language.layers;
  if (stored <= configured) return {};  // a missing layer is named by its first tensor
  return error(Code::kInvalid,
               cat(config_path(state), ": num_hidden_layers is ", configured, ", the weights hold ",
                   stored, " layers"),
               kSameCheckpoint);
}

Status missing_tensor(const Checkpoint::State& state, const std::string& name) {
  const bool no_head = name == kHead;
  return error(
      Code::kNotFound,
      cat(state.folder.string(), ": tensor `", name, "` is missing; ", config_path(state), " says ",
          no_head ? std::string("tie_word_embeddings is false")
                  : cat("num_hidden_layers is ", state.config.language.layers,
                        ", the weights hold ", stored_layers(state), " layers")),
      no_head ? "set tie_word_embeddings to true if the model shares its embedding"
              : "check that all weight files are there");
}

Status check_decoder_tensor(Checkpoint::State& state, const NamedShape& expected) {
  const auto found = state.tensors.find(expected.name);
  if (found == state.tensors.end()) return missing_tensor(state, expected.name);
  StoredTensor& tensor = found->second;
  if (tensor.shape == expected.shape) return {};
  const bool by_token = expected.name == kEmbedding || expected.name == kHead;
  if (by_token && tensor.shape.size() == 2 && tensor.shape[1] == expected.shape[1] &&
      tensor.shape[0] > expected.shape[0]) {
    state.warnings.push_back(cat(tensor.described(), ": ", tensor.shape[0],
                                 " rows, of which vocab_size of ", config_path(state), " uses ",
                                 expected.shape[0]));
    tensor.shape[0] = expected.shape[0];
    return {};
  }
  return error(Code::kInvalid,
               cat(tensor.described(), ": expected shape ", bracketed(expected.shape), " by ",
                   keys_behind(expected.name), " of ", config_path(state), ", found ",
                   bracketed(tensor.shape)),
               kSameCheckpoint);
}

// Whether a few rows spread over two matrices have the same bytes; reading all would cost a pass
// over hundreds of megabytes.
bool rows_agree(const StoredTensor& a, const StoredTensor& b) {
  if (a.view.dtype != b.view.dtype || a.view.shape != b.view.shape || a.view.shape.empty()) {
    return false;
  }
  const auto rows = static_cast<size_t>(a.view.shape[0]);
  if (rows == 0) return true;
  const size_t width = a.view.bytes.size() / rows;
  const size_t step = std::max<size_t>(rows / 64, 1);
  for (size_t row = 0; row < rows; row += step) {
    if (std::memcmp(a.view.bytes.data() + row * width, b.view.bytes.data() + row * width, width) !=
        0) {
      return false;
    }
  }
  return true;
}

// docs/MODEL.md section 3: the flag wins; without a flag, presence decides.
void settle_head(Checkpoint::State& state) {
  LanguageConfig& config = state.config.language;
  const StoredTensor* head = state.find(kHead);
  if (!config.tied_stated) config.tied = head == nullptr;
  if (!config.tied || head == nullptr) return;
  const StoredTensor* embedding = state.find(kEmbedding);
  if (embedding != nullptr && !rows_agree(*head, *embedding)) {
    state.warnings.push_back(cat(head->described(),
                                 ": differs from the embedding and is ignored, for ",
                                 config_path(state), " says tie_word_embeddings is true"));
  }
  state.tensors.erase(kHead);
}

Status check_language(Checkpoint::State& state) {
  if (state.find(kEmbedding) == nullptr && stored_layers(state) == 0) {
    const bool tower = state.tensors.lower_bound("vision.") != state.tensors.end();
    return error(
        Code::kInvalid,
        cat(state.folder.string(), ": holds no decoder: tensor `", kEmbedding, "` is missing"),
        tower ? "a tower alone goes with --vision-tower beside a whole checkpoint"
              : "name a FastVLM checkpoint");
  }
  settle_head(state);
  FASTVLM_RETURN_IF_ERROR(check_layer_count(state));
  const std::vector<NamedShape> expected = qwen2_tensors(state.config.language);
  for (const NamedShape& tensor : expected) {
    FASTVLM_RETURN_IF_ERROR(check_decoder_tensor(state, tensor));
  }
  // A tensor too many inside a layer means another architecture.
  std::vector<std::string> names;
  names.reserve(expected.size());
  for (const NamedShape& tensor : expected) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  for (const auto& [name, tensor] : state.tensors) {
    if (name.starts_with("model.") && !std::binary_search(names.begin(), names.end(), name)) {
      return error(Code::kUnsupported, cat(tensor.described(), ": is no part of a Qwen2 decoder"),
                   "use a FastVLM checkpoint; its decoder is Qwen2");
    }
  }
  return {};
}

// Channels of the tower's last convolution; 0 without a tower or with one that is incomplete.
std::pair<int64_t, const StoredTensor*> tower_width(const Checkpoint::State& state) {
  for (const char* name :
       {"vision.conv_exp.reparam_conv.weight", "vision.conv_exp.rbr_conv.0.conv.weight"}) {
    const StoredTensor* tensor = state.find(name);
    if (tensor != nullptr && !tensor->shape.empty()) return {tensor->shape[0], tensor};
  }
  return {0, nullptr};
}

Status check_projector(const Checkpoint::State& state) {
  const StoredTensor* first = state.find("projector.0.weight");
  if (first == nullptr) return {};
  const int64_t hidden = state.config.language.hidden_size;
  if (first->shape.size() != 2 || first->shape[0] != hidden) {
    return error(Code::kInvalid,
                 cat(first->described(), ": expected ", hidden, " rows by hidden_size of ",
                     config_path(state), ", found shape ", bracketed(first->shape)),
                 kSameCheckpoint);
  }
  const int64_t width = first->shape[1];
  if (const int64_t stated = state.config.mm_hidden_size; stated != 0 && stated != width) {
    return error(Code::kInvalid,
                 cat(first->described(), ": takes tokens of width ", width, ", mm_hidden_size of ",
                     config_path(state), " is ", stated),
                 kSameCheckpoint);
  }
  if (const auto [channels, last] = tower_width(state); channels != 0 && channels != width) {
    return error(Code::kInvalid,
                 cat(first->described(), ": takes tokens of width ", width, ", ", last->described(),
                     " gives ", channels),
                 "use the tower that the checkpoint was trained with");
  }
  for (const NamedShape& expected : projector_tensors(width, hidden)) {
    const StoredTensor* tensor = state.find("projector." + expected.name);
    if (tensor == nullptr) {
      return error(Code::kNotFound,
                   cat(state.folder.string(), ": tensor `projector.", expected.name,
                       "` is missing, projector.0.weight is there"),
                   "check that all weight files are there");
    }
    if (tensor->shape != expected.shape) {
      return error(Code::kInvalid,
                   cat(tensor->described(), ": expected shape ", bracketed(expected.shape),
                       ", found ", bracketed(tensor->shape)),
                   kSameCheckpoint);
    }
  }
  return {};
}

void check_model_type(Checkpoint::State& state) {
  const std::string& type = state.config.model_type;
  for (const char* known : {"llava_qwen2", "fast_vlm", "fastvlm", "qwen2"}) {
    if (type == known) return;
  }
  state.warnings.push_back(cat(config_path(state), ": model_type is `", type,
                               "`, expected llava_qwen2 or fast_vlm; read as such, for the tensors "
                               "match"));
}

}  // namespace

Status check_consistency(Checkpoint::State& state) {
  check_model_type(state);
  FASTVLM_RETURN_IF_ERROR(check_language(state));
  return check_projector(state);
}

}  // namespace fastvlm
