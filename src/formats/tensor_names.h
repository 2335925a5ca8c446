// SPDX-License-Identifier: Apache-2.0
// Between the names that checkpoint files use and canonical names (docs/FORMATS.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fastvlm {

enum class Layout { kLlava, kHuggingFace, kMlxPatch, kMlxVlm };
std::string_view layout_name(Layout layout);

enum class Origin {
  kLlava,        // Apple's LLaVA-Qwen2; also plain Qwen2
  kHuggingFace,  // FastVlm of transformers, timm tower
  kMlx,          // either MLX export
  kMlxPatch,     // Apple's patch only
  kMlxVlm,       // mlx-vlm only
  kMobileClip,   // image_encoder.model.
};

struct CanonicalName {
  std::string name;  // as in checkpoint.h
  Origin origin;
};

// The canonical name of a stored tensor; nothing when it is not part of the model.
std::optional<CanonicalName> canonical_name(std::string_view stored);

// The same for a tensor of a file that holds a tower: the prefix may be missing.
std::optional<CanonicalName> canonical_tower_name(std::string_view stored);

// Where a writer puts a tensor: the reverse of canonical_name(). Of Hugging Face's names those of
// the decoder and the projector only, for its tower is built otherwise.
std::string stored_name(std::string_view canonical, Layout layout);

// Tensors that may be there and are never used: counters of BatchNorm, tables of older writers,
// the text half of MobileCLIP.
bool is_bookkeeping(std::string_view stored);

}  // namespace fastvlm
