// SPDX-License-Identifier: Apache-2.0
// Adapters in the files of the PEFT library: adapter_config.json, and adapter_model.safetensors
// with tensors base_model.model.model.layers.<n>.self_attn.q_proj.lora_A.weight and so on. Where
// the projector was trained as well, modules_to_save is ["mm_projector"] and its tensors are
// base_model.model.model.mm_projector.0.weight and so on.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"
#include "language/lora.h"

namespace fastvlm {

inline constexpr const char* kAdapterConfigFile = "adapter_config.json";
inline constexpr const char* kAdapterTensorFile = "adapter_model.safetensors";

// Reads an adapter for a language model of this shape; F32, F16 and BF16 are read. Which layers are
// adapted is what the tensors say. Errors: a kind of adapter that is not computed here (DoRA,
// trained biases, embeddings or whole modules but the projector), tensors that are missing, unknown
// or of a wrong shape.
Result<LoraAdapter> load_adapter(const std::filesystem::path& folder, const LanguageConfig& config);

// SHA-256 of both files, for provenance.
Result<std::string> adapter_digest(const std::filesystem::path& folder);

// Writes both files, F32, into `folder`, which is there. `base` names the model that was adapted.
Status save_adapter(const std::filesystem::path& folder, const LoraAdapter& adapter,
                    const std::string& base);

}  // namespace fastvlm
