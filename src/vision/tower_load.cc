// SPDX-License-Identifier: Apache-2.0
// read_tower: everything about the tower is inferred from names and shapes (docs/MODEL.md, 1.6).
#include <algorithm>

#include "vision/tower_reader.h"

namespace fastvlm {
namespace {

constexpr int64_t kMaxStride = 1024;

Result<Stem> read_stem(TowerReader& reader) {
  const bool folded = !reader.has("patch_embed.0.rbr_conv.0.conv.weight");
  const int64_t channels = reader.side(
      folded ? "patch_embed.0.reparam_conv.weight" : "patch_embed.0.rbr_conv.0.conv.weight", 0);
  Stem stem;
  FASTVLM_ASSIGN(const auto first, reader.branched("patch_embed.0", channels, 3));
  FASTVLM_ASSIGN(const auto second, reader.branched("patch_embed.1", channels, 1));
  if (first.kernel != 3 || second.kernel != 3) {
    return error(Code::kUnsupported,
                 cat(reader.origin("patch_embed"), ": expected two 3x3 kernels, found sides ",
                     first.kernel, " and ", second.kernel));
  }
  stem.first = make_dense(reader.pool(), to_f32(first.weights), to_f32(first.bias), 3,
                          static_cast<int>(first.kernel), 2);
  FASTVLM_ASSIGN(stem.second, reader.depthwise("patch_embed.1", second, channels, 2));
  FASTVLM_ASSIGN(stem.third, reader.branched_pointwise("patch_embed.2", channels, channels));
  return stem;
}

// timm's names (fc1, fc2) or MobileOne's (reduce, expand).
Result<SqueezeExcite> read_squeeze_excite(TowerReader& reader, const std::string& key,
                                          int64_t channels) {
  const bool timm = reader.has(key + ".fc1.weight");
  const std::string reduce = key + (timm ? ".fc1" : ".reduce");
  const std::string expand = key + (timm ? ".fc2" : ".expand");
  const int64_t hidden = std::max<int64_t>(reader.side(reduce + ".weight", 0), 1);
  SqueezeExcite se;
  FASTVLM_ASSIGN(se.reduce, reader.matrix(reduce + ".weight", hidden, channels));
  FASTVLM_ASSIGN(se.reduce_bias, reader.per_channel(reduce + ".bias", hidden));
  FASTVLM_ASSIGN(se.expand, reader.matrix(expand + ".weight", channels, hidden));
  FASTVLM_ASSIGN(se.expand_bias, reader.per_channel(expand + ".bias", channels));
  return se;
}

// proj.0 is one 7x7 convolution, or in training form a 7x7 and a small one side by side.
Result<FoldableConvolution> read_large_kernel(TowerReader& reader, const std::string& key) {
  const std::string origin = key + ".lkb_origin";
  if (!reader.has_module(origin)) {
    const std::string folded = key + ".lkb_reparam";
    return reader.convolution(folded, reader.side(folded + ".weight", 0), 1);
  }
  const int64_t outputs = reader.side(origin + ".conv.weight", 0);
  FASTVLM_ASSIGN(auto sum, reader.normalised(origin, outputs, 1));
  if (reader.has_module(key + ".small_conv")) {
    FASTVLM_ASSIGN(const auto small, reader.normalised(key + ".small_conv", outputs, 1));
    if (small.kernel > sum.kernel) {
      return error(Code::kInvalid,
                   cat(reader.origin(key + ".small_conv.conv.weight"),
                       ": expected a kernel of at most ", sum.kernel, ", found ", small.kernel));
    }
    add_branch(sum, small);
  }
  return sum;
}

Result<Downsample> read_downsample(TowerReader& reader, const std::string& key, int64_t channels) {
  const std::string large = key + ".proj.0";
  Downsample down;
  FASTVLM_ASSIGN(const auto conv, read_large_kernel(reader, large));
  FASTVLM_ASSIGN(down.large_kernel, reader.depthwise(large, conv, channels, 2));
  if (reader.has_module(large + ".se")) {
    FASTVLM_ASSIGN(down.squeeze_excite, read_squeeze_excite(reader, large + ".se", conv.outputs));
  }
  FASTVLM_ASSIGN(down.pointwise,
                 reader.branched_pointwise(key + ".proj.1", conv.outputs, conv.outputs));
  return down;
}

// reparam_conv(x) has its skip inside; the training form is pe(x) + x.
Result<PositionEncoding> read_position_encoding(TowerReader& reader, const std::string& key,
                                                int64_t channels) {
  if (!reader.has_module(key + ".pe")) {
    FASTVLM_ASSIGN(const auto conv, reader.convolution(key + ".reparam_conv", channels, 1));
    return reader.depthwise(key, conv, channels, 1);
  }
  FASTVLM_ASSIGN(auto conv, reader.convolution(key + ".pe", channels, 1));
  add_branch(conv, identity_convolution(channels, 1, conv.kernel));
  return reader.depthwise(key, conv, channels, 1);
}

Result<ConvFfn> read_conv_ffn(TowerReader& reader, const std::string& key,
                              const std::string& scale_key, int64_t channels) {
  const int64_t hidden = std::max<int64_t>(reader.side(key + ".fc1.weight", 0), 1);
  ConvFfn ffn;
  FASTVLM_ASSIGN(const auto conv, reader.normalised(key + ".conv", channels, 1));
  FASTVLM_ASSIGN(ffn.conv, reader.depthwise(key + ".conv", conv, channels, 1));
  FASTVLM_ASSIGN(ffn.fc1, reader.linear(key + ".fc1", hidden, channels, reader.arithmetic()));
  FASTVLM_ASSIGN(ffn.fc2, reader.linear(key + ".fc2", channels, hidden, reader.arithmetic()));
  FASTVLM_ASSIGN(ffn.layer_scale, reader.per_channel(scale_key, channels));
  return ffn;
}

// In training form x + layer_scale * (mixer(x) - norm(x)), all of it linear.
Result<RepMixer> read_rep_mixer(TowerReader& reader, const std::string& key, int64_t channels) {
  RepMixer mixer;
  if (!reader.has_module(key + ".mixer")) {
    FASTVLM_ASSIGN(const auto conv, reader.convolution(key + ".reparam_conv", channels, 1));
    FASTVLM_ASSIGN(mixer.conv, reader.depthwise(key, conv, channels, 1));
    return mixer;
  }
  FASTVLM_ASSIGN(auto sum, reader.branched(key + ".mixer", channels, 1));
  FASTVLM_ASSIGN(const auto norm, reader.batch_norm(key + ".norm.rbr_skip", channels));
  FASTVLM_ASSIGN(const auto layer_scale, reader.per_channel(key + ".layer_scale", channels));
  const auto identity = identity_convolution(channels, 1, sum.kernel);
  const std::vector<double> minus_one(static_cast<size_t>(channels), -1.0);
  add_branch(sum, scaled(followed_by(identity, norm), minus_one));
  sum = scaled(std::move(sum), to_f64(layer_scale));
  add_branch(sum, identity);
  FASTVLM_ASSIGN(mixer.conv, reader.depthwise(key, sum, channels, 1));
  return mixer;
}

Result<SelfAttention> read_attention(TowerReader& reader, const std::string& key,
                                     int64_t channels) {
  const std::string mixer = key + ".token_mixer";
  if (channels % kHeadDim != 0) {
    return error(Code::kUnsupported,
                 cat(reader.origin(mixer + ".qkv.weight"), ": expected a width that heads of ",
                     kHeadDim, " divide, found ", channels));
  }
  SelfAttention attention;
  attention.layer_norm = !reader.has(key + ".norm.running_mean");
  if (attention.layer_norm) {
    FASTVLM_ASSIGN(attention.norm_weight, reader.per_channel(key + ".norm.weight", channels));
    FASTVLM_ASSIGN(attention.norm_bias, reader.per_channel(key + ".norm.bias", channels));
  } else {
    FASTVLM_ASSIGN(const auto norm, reader.batch_norm(key + ".norm", channels));
    attention.norm_weight = to_f32(norm.scale);
    attention.norm_bias = to_f32(norm.shift);
  }
  FASTVLM_ASSIGN(attention.qkv, reader.weights(mixer + ".qkv.weight", 3 * channels, channels,
                                               reader.arithmetic()));
  FASTVLM_ASSIGN(attention.proj,
                 reader.linear(mixer + ".proj", channels, channels, reader.arithmetic()));
  FASTVLM_ASSIGN(attention.layer_scale, reader.per_channel(key + ".layer_scale_1", channels));
  return attention;
}

Result<Blocks> read_blocks(TowerReader& reader, const std::string& key, int64_t channels) {
  Blocks blocks;
  for (int64_t i = 0; reader.has_module(cat(key, ".", i)); ++i) {
    const std::string name = cat(key, ".", i);
    Block block;
    const bool attends = reader.has(name + ".token_mixer.qkv.weight");
    if (attends) {
      FASTVLM_ASSIGN(block.mixer, read_attention(reader, name, channels));
    } else {
      FASTVLM_ASSIGN(block.mixer, read_rep_mixer(reader, name + ".token_mixer", channels));
    }
    const std::string scale = name + (attends ? ".layer_scale_2" : ".layer_scale");
    FASTVLM_ASSIGN(block.ffn, read_conv_ffn(reader, name + ".convffn", scale, channels));
    blocks.push_back(std::move(block));
  }
  if (blocks.empty()) {
    return error(
        Code::kUnsupported,
        cat(reader.origin(key), ": expected blocks, a downsampling or a position encoding"),
        "this is not a tower of the FastViT family");
  }
  return blocks;
}

// network.N for N = 0, 1, ... until there is none; returns the width at its end.
Result<int64_t> read_network(TowerReader& reader, int64_t channels, TowerModules& tower) {
  for (int64_t n = 0; reader.has_module(cat("network.", n)); ++n) {
    const std::string key = cat("network.", n);
    if (reader.has_module(key + ".proj")) {
      FASTVLM_ASSIGN(Downsample down, read_downsample(reader, key, channels));
      channels = down.large_kernel.channels_out();
      tower.stride *= 2;
      tower.network.emplace_back(std::move(down));
    } else if (reader.has_module(key + ".reparam_conv") || reader.has_module(key + ".pe")) {
      FASTVLM_ASSIGN(PositionEncoding position, read_position_encoding(reader, key, channels));
      tower.network.emplace_back(std::move(position));
    } else {
      FASTVLM_ASSIGN(Blocks blocks, read_blocks(reader, key, channels));
      tower.network.emplace_back(std::move(blocks));
    }
    if (tower.stride > kMaxStride) {
      return error(Code::kLimit, cat(reader.origin(key), ": expected a total stride of at most ",
                                     kMaxStride, ", found ", tower.stride));
    }
  }
  return channels;
}

std::string describe(const TowerModules& tower) {
  std::string depths;
  std::string widths;
  int stages = 0;
  bool layer_norm = false;
  for (const auto& module : tower.network) {
    const auto* blocks = std::get_if<Blocks>(&module);
    if (blocks == nullptr) continue;
    const char* separator = stages++ == 0 ? "" : "-";
    depths += cat(separator, blocks->size());
    widths += cat(separator, blocks->front().ffn.layer_scale.size());
    const auto* attention = std::get_if<SelfAttention>(&blocks->front().mixer);
    layer_norm = attention != nullptr && attention->layer_norm;
  }
  const char* family = stages == 5 && layer_norm    ? "FastViTHD"
                       : stages == 4 && !layer_norm ? "MobileCLIP-S0"
                                                    : "FastViT";
  return cat(family, " topology, ", stages, " stages ", depths, ", widths ", widths);
}

}  // namespace

Result<TowerModules> read_tower(const Checkpoint& checkpoint, ThreadPool& pool,
                                Arithmetic arithmetic) {
  TowerReader reader(checkpoint, pool, arithmetic);
  TowerModules tower;
  tower.training_form = reader.has("patch_embed.0.rbr_conv.0.conv.weight");
  FASTVLM_ASSIGN(tower.stem, read_stem(reader));
  const int64_t stem_channels = tower.stem.second.channels_out();
  FASTVLM_ASSIGN(const int64_t channels, read_network(reader, stem_channels, tower));

  const std::string weights =
      tower.training_form ? "conv_exp.rbr_conv.0.conv.weight" : "conv_exp.reparam_conv.weight";
  FASTVLM_ASSIGN(const auto conv_exp, reader.branched("conv_exp", reader.side(weights, 0), 1));
  FASTVLM_ASSIGN(tower.conv_exp, reader.depthwise("conv_exp", conv_exp, channels, 1));
  if (reader.has_module("conv_exp.se")) {
    FASTVLM_ASSIGN(tower.conv_exp_squeeze_excite,
                   read_squeeze_excite(reader, "conv_exp.se", conv_exp.outputs));
  }
  FASTVLM_RETURN_IF_ERROR(reader.finish());
  tower.parameters = reader.parameters();
  tower.kind = describe(tower);
  return tower;
}

}  // namespace fastvlm
