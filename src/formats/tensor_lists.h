// SPDX-License-Identifier: Apache-2.0
// The tensors that a model consists of, by canonical name and shape, in the order of the network
// (docs/MODEL.md sections 1 to 3). What a loader checks against, what a writer of made-up
// checkpoints writes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "formats/config.h"

namespace fastvlm {

struct NamedShape {
  std::string name;
  std::vector<int64_t> shape;

  int64_t elements() const;
};

// One stage of a tower of the FastViT family.
struct FastVitStage {
  int64_t blocks = 0;
  int64_t width = 0;                // channels
  bool attention = false;           // else RepMixer
  bool positional = false;          // conditional positional encoding before the first block
  bool squeeze_downsample = false;  // squeeze-and-excite inside the downsampling to this stage
};

struct FastVitTopology {
  std::vector<FastVitStage> stages;
  int64_t mlp_ratio = 4;
  bool channel_norm = true;  // before attention: LayerNorm over channels, else BatchNorm
  int64_t head_width = 0;    // columns of head.proj

  int64_t token_width() const { return 2 * stages.back().width; }
};

FastVitTopology fastvit_hd();     // FastViTHD, 1024 pixels, tokens 3072 wide
FastVitTopology mobileclip_s0();  // MCi0, 256 pixels, tokens 1024 wide

// The inference form of a tower, without a prefix ("patch_embed.0.reparam_conv.weight", ...), with
// the counters of BatchNorm ([] shapes, named *.num_batches_tracked) and head.proj.
std::vector<NamedShape> fastvit_tensors(const FastVitTopology& topology);

// "0.weight", "0.bias", "2.weight", "2.bias".
std::vector<NamedShape> projector_tensors(int64_t token_width, int64_t hidden_size);

// Qwen2's own names; lm_head.weight only when the configuration is not tied.
std::vector<NamedShape> qwen2_tensors(const LanguageConfig& config);

}  // namespace fastvlm
