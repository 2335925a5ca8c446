// SPDX-License-Identifier: Apache-2.0
#include "formats/tensor_names.h"

#include <array>

#include "base/strings.h"

namespace fastvlm {
namespace {

struct Prefix {
  std::string_view stored;
  std::string_view canonical;
  Origin origin;
};

// The first match counts. Projector rows end in the digit that differs.
constexpr Prefix kPrefixes[] = {
    {"model.vision_tower.vision_tower.model.", "vision.", Origin::kLlava},
    {"model.vision_tower.timm_model.", "vision.", Origin::kHuggingFace},
    {"vision_tower.timm_model.", "vision.", Origin::kHuggingFace},
    {"vision_tower.vision_tower.model.", "vision.", Origin::kLlava},
    {"vision_tower.vision_model.", "vision.", Origin::kMlxVlm},
    {"image_encoder.model.", "vision.", Origin::kMobileClip},
    {"model.mm_projector.", "projector.", Origin::kLlava},
    {"mm_projector.", "projector.", Origin::kMlxVlm},
    {"model.multi_modal_projector.linear_1.", "projector.0.", Origin::kHuggingFace},
    {"model.multi_modal_projector.linear_2.", "projector.2.", Origin::kHuggingFace},
    {"multi_modal_projector.linear_1.", "projector.0.", Origin::kHuggingFace},
    {"multi_modal_projector.linear_0.", "projector.0.", Origin::kMlxPatch},
    {"multi_modal_projector.linear_2.", "projector.2.", Origin::kMlx},
    {"model.language_model.", "model.", Origin::kHuggingFace},
    {"language_model.model.", "model.", Origin::kMlx},
    {"language_model.lm_head.", "lm_head.", Origin::kMlx},
    {"model.embed_tokens.", "model.embed_tokens.", Origin::kLlava},
    {"model.layers.", "model.layers.", Origin::kLlava},
    {"model.norm.", "model.norm.", Origin::kLlava},
    {"lm_head.", "lm_head.", Origin::kLlava},
};

// Position in `network` of timm's stages, their downsampling and their positional encoding.
constexpr std::array<std::string_view, 5> kStageBlocks = {"0", "2", "4", "7", "10"};
constexpr std::array<std::string_view, 5> kStageDownsample = {"", "1", "3", "5", "8"};
constexpr std::array<std::string_view, 5> kStagePosition = {"", "", "", "6", "9"};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// The rest of a block's name: timm says mlp for convffn and layer_scale.gamma for layer_scale.
std::string from_timm_block(std::string_view rest) {
  std::string name(rest);
  replace_all(name, ".mlp.", ".convffn.");
  if (name.ends_with(".gamma")) name.resize(name.size() - std::string_view(".gamma").size());
  return name;
}

// stages.S.{blocks.i, downsample.proj.j, pos_emb}.rest
std::optional<std::string> from_timm_stage(std::string_view rest) {
  const size_t stage = rest.empty() ? kStageBlocks.size() : static_cast<size_t>(rest[0] - '0');
  if (stage >= kStageBlocks.size()) return std::nullopt;
  rest.remove_prefix(1);
  if (take_prefix(rest, ".blocks.")) {
    return cat("network.", kStageBlocks[stage], ".", from_timm_block(rest));
  }
  if (take_prefix(rest, ".downsample.") && !kStageDownsample[stage].empty()) {
    std::string name(rest);
    replace_all(name, "proj.0.reparam_conv", "proj.0.lkb_reparam");
    return cat("network.", kStageDownsample[stage], ".", name);
  }
  if (take_prefix(rest, ".pos_emb.") && !kStagePosition[stage].empty()) {
    return cat("network.", kStagePosition[stage], ".", rest);
  }
  return std::nullopt;
}

// The key of a tower tensor as in docs/MODEL.md section 1, from Apple's, mlx-vlm's or timm's.
std::optional<std::string> tower_key(std::string_view rest) {
  if (take_prefix(rest, "patch_embed.blocks.")) return cat("patch_embed.", rest);
  if (take_prefix(rest, "stem.")) return cat("patch_embed.", rest);
  if (take_prefix(rest, "stages.")) return from_timm_stage(rest);
  if (take_prefix(rest, "final_conv.")) {
    std::string name = cat("conv_exp.", rest);
    replace_all(name, ".se.fc1.", ".se.reduce.");
    replace_all(name, ".se.fc2.", ".se.expand.");
    return name;
  }
  for (const std::string_view part : {"patch_embed.", "network.", "conv_exp.", "head."}) {
    if (rest.starts_with(part)) return std::string(rest);
  }
  return std::nullopt;
}

}  // namespace

std::string_view layout_name(Layout layout) {
  switch (layout) {
    case Layout::kLlava:
      return "LLaVA-Qwen2";
    case Layout::kHuggingFace:
      return "Hugging Face FastVlm";
    case Layout::kMlxPatch:
      return "MLX (Apple's patch)";
    case Layout::kMlxVlm:
      return "MLX (mlx-vlm)";
  }
  return "";
}

std::string stored_name(std::string_view canonical, Layout layout) {
  std::string_view rest = canonical;
  if (take_prefix(rest, "vision.")) {
    if (layout != Layout::kMlxVlm) return cat("model.vision_tower.vision_tower.model.", rest);
    if (take_prefix(rest, "patch_embed.")) {
      return cat("vision_tower.vision_model.patch_embed.blocks.", rest);
    }
    return cat("vision_tower.vision_model.", rest);
  }
  if (take_prefix(rest, "projector.")) {
    if (layout == Layout::kLlava) return cat("model.mm_projector.", rest);
    if (layout == Layout::kMlxVlm) return cat("mm_projector.", rest);
    if (layout == Layout::kMlxPatch) return cat("multi_modal_projector.linear_", rest);
    const bool first = take_prefix(rest, "0.");
    if (!first) take_prefix(rest, "2.");
    return cat("model.multi_modal_projector.linear_", first ? "1." : "2.", rest);
  }
  if (layout == Layout::kLlava) return std::string(canonical);
  if (layout != Layout::kHuggingFace) return cat("language_model.", canonical);
  if (take_prefix(rest, "model.")) return cat("model.language_model.", rest);
  return std::string(canonical);
}

std::optional<CanonicalName> canonical_name(std::string_view stored) {
  for (const Prefix& prefix : kPrefixes) {
    std::string_view rest = stored;
    if (!take_prefix(rest, prefix.stored)) continue;
    if (prefix.canonical != "vision.")
      return CanonicalName{cat(prefix.canonical, rest), prefix.origin};
    const auto key = tower_key(rest);
    if (!key) return std::nullopt;
    return CanonicalName{cat("vision.", *key), prefix.origin};
  }
  return std::nullopt;
}

std::optional<CanonicalName> canonical_tower_name(std::string_view stored) {
  if (auto name = canonical_name(stored); name.has_value()) {
    if (!name->name.starts_with("vision.")) return std::nullopt;
    return name;
  }
  for (const std::string_view prefix : {"vision_tower.", "timm_model.", "model.", ""}) {
    std::string_view rest = stored;
    if (!take_prefix(rest, prefix)) continue;
    if (const auto key = tower_key(rest); key) {
      return CanonicalName{cat("vision.", *key), Origin::kLlava};
    }
  }
  return std::nullopt;
}

bool is_bookkeeping(std::string_view stored) {
  return stored.ends_with(".num_batches_tracked") || stored.ends_with(".rotary_emb.inv_freq") ||
         stored.starts_with("text_encoder.") || stored == "logit_scale";
}

}  // namespace fastvlm
