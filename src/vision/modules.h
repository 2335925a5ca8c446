// SPDX-License-Identifier: Apache-2.0
// The weights of a FastViT tower as its forward pass wants them: inference form, BatchNorms folded.
// Names and order are those of docs/MODEL.md section 1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kernels/convolution.h"
#include "kernels/dot_matrix.h"
#include "kernels/matrix.h"

namespace fastvlm {

// [outputs, inputs], exact or rounded to the arithmetic that the tower was loaded for.
using Weights = std::variant<Matrix, DotMatrix>;

// A linear layer or 1x1 convolution; `bias` may be empty.
struct Linear {
  Weights weights;
  std::vector<float> bias;
};

// patch_embed: three convolutions, each followed by GELU.
struct Stem {
  DenseConvolution first;       // 3x3, stride 2, RGB to C
  DepthwiseConvolution second;  // 3x3, stride 2
  Linear third;
};

// x -> x * sigmoid(expand(relu(reduce(mean of x)))), per channel.
struct SqueezeExcite {
  Matrix reduce;
  std::vector<float> reduce_bias;
  Matrix expand;
  std::vector<float> expand_bias;
};

// network.N.proj: half the side, twice the channels.
struct Downsample {
  DepthwiseConvolution large_kernel;  // 7x7, stride 2
  std::optional<SqueezeExcite> squeeze_excite;
  Linear pointwise;
};

// convffn and the layer scale of its residual.
struct ConvFfn {
  DepthwiseConvolution conv;  // 7x7 with its BatchNorm
  Linear fc1;
  Linear fc2;
  std::vector<float> layer_scale;
};

// The convolutional token mixer; its skip is part of the weights.
struct RepMixer {
  DepthwiseConvolution conv;  // 3x3
};

inline constexpr int64_t kHeadDim = 32;  // of every attention of the family

// The token mixer of the late stages: norm, multi-head self-attention, layer scale.
struct SelfAttention {
  bool layer_norm = false;  // else a BatchNorm, folded to y = weight * x + bias
  std::vector<float> norm_weight;
  std::vector<float> norm_bias;
  Weights qkv;  // [3 C, C]: queries, keys, values; no bias
  Linear proj;
  std::vector<float> layer_scale;
};

struct Block {
  std::variant<RepMixer, SelfAttention> mixer;
  ConvFfn ffn;
};

using Blocks = std::vector<Block>;              // a stage
using PositionEncoding = DepthwiseConvolution;  // 7x7, its skip is part of the weights

// The tower. network[N] holds the checkpoint's network.N.
struct TowerModules {
  Stem stem;
  std::vector<std::variant<Blocks, Downsample, PositionEncoding>> network;
  DepthwiseConvolution conv_exp;  // 3x3, two outputs an input
  std::optional<SqueezeExcite> conv_exp_squeeze_excite;

  // Facts about the above.
  bool training_form = false;  // as it was stored
  int64_t stride = 4;          // input pixels a token, along each side
  int64_t parameters = 0;      // elements as stored, without head and running statistics
  std::string kind;            // "FastViTHD topology, 5 stages 2-12-24-4-2, widths ..."
};

}  // namespace fastvlm
