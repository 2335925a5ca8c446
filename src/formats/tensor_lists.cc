// SPDX-License-Identifier: Apache-2.0
#include "formats/tensor_lists.h"

#include <algorithm>

#include "base/strings.h"

namespace fastvlm {
namespace {

using Shape = std::vector<int64_t>;

class List {
 public:
  void add(const std::string& name, Shape shape) { tensors_.push_back({name, std::move(shape)}); }

  // A convolution `name`.{weight, bias} [out, in/groups, k, k].
  void convolution(const std::string& name, int64_t out, int64_t in_of_group, int64_t kernel,
                   bool bias = true) {
    add(name + ".weight", {out, in_of_group, kernel, kernel});
    if (bias) add(name + ".bias", {out});
  }

  void batch_norm(const std::string& name, int64_t width) {
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
      add(name + part, {width});
    }
    add(name + ".num_batches_tracked", {});
  }

  std::vector<NamedShape> take() { return std::move(tensors_); }

 private:
  std::vector<NamedShape> tensors_;
};

void add_ffn(List& list, const std::string& block, int64_t width, int64_t ratio) {
  list.convolution(block + ".convffn.conv.conv", width, 1, 7, false);
  list.batch_norm(block + ".convffn.conv.bn", width);
  list.convolution(block + ".convffn.fc1", ratio * width, width, 1);
  list.convolution(block + ".convffn.fc2", width, ratio * width, 1);
}

void add_block(List& list, const std::string& block, const FastVitStage& stage,
               const FastVitTopology& topology) {
  const int64_t width = stage.width;
  if (stage.attention) {
    list.add(block + ".layer_scale_1", {width, 1, 1});
    list.add(block + ".layer_scale_2", {width, 1, 1});
    if (topology.channel_norm) {
      list.add(block + ".norm.weight", {width});
      list.add(block + ".norm.bias", {width});
    } else {
      list.batch_norm(block + ".norm", width);
    }
    list.add(block + ".token_mixer.qkv.weight", {3 * width, width});
    list.add(block + ".token_mixer.proj.weight", {width, width});
    list.add(block + ".token_mixer.proj.bias", {width});
  } else {
    list.add(block + ".layer_scale", {width, 1, 1});
    list.convolution(block + ".token_mixer.reparam_conv", width, 1, 3);
  }
  add_ffn(list, block, width, topology.mlp_ratio);
}

// To a stage from the one before: 7x7 with one input channel an output, then 1x1.
void add_downsample(List& list, const std::string& name, const FastVitStage& to) {
  const int64_t width = to.width;
  list.convolution(name + ".proj.0.lkb_reparam", width, 1, 7);
  if (to.squeeze_downsample) {
    const int64_t squeezed = std::max<int64_t>(8, (width / 4 + 4) / 8 * 8);
    list.convolution(name + ".proj.0.se.fc1", squeezed, width, 1);
    list.convolution(name + ".proj.0.se.fc2", width, squeezed, 1);
  }
  list.convolution(name + ".proj.1.reparam_conv", width, width, 1);
}

}  // namespace

int64_t NamedShape::elements() const {
  int64_t count = 1;
  for (const int64_t dimension : shape) count *= dimension;
  return count;
}

FastVitTopology fastvit_hd() {
  return {
      {{2, 96}, {12, 192}, {24, 384}, {4, 768, true, true}, {2, 1536, true, true}}, 4, true, 768};
}

FastVitTopology mobileclip_s0() {
  return {{{2, 64}, {6, 128}, {10, 256, false, false, true}, {2, 512, true, true, true}},
          3,
          false,
          512};
}

std::vector<NamedShape> fastvit_tensors(const FastVitTopology& topology) {
  List list;
  const int64_t first = topology.stages.front().width;
  list.convolution("patch_embed.0.reparam_conv", first, 3, 3);
  list.convolution("patch_embed.1.reparam_conv", first, 1, 3);
  list.convolution("patch_embed.2.reparam_conv", first, first, 1);
  int position = 0;  // in `network`
  for (size_t i = 0; i < topology.stages.size(); ++i) {
    const FastVitStage& stage = topology.stages[i];
    if (i > 0) add_downsample(list, cat("network.", position++), stage);
    if (stage.positional) {
      list.convolution(cat("network.", position++, ".reparam_conv"), stage.width, 1, 7);
    }
    for (int64_t block = 0; block < stage.blocks; ++block) {
      add_block(list, cat("network.", position, ".", block), stage, topology);
    }
    ++position;
  }
  const int64_t width = topology.token_width();
  list.convolution("conv_exp.se.reduce", width / 16, width, 1);
  list.convolution("conv_exp.se.expand", width, width / 16, 1);
  list.convolution("conv_exp.reparam_conv", width, 1, 3);
  list.add("head.proj", {width, topology.head_width});
  return list.take();
}

std::vector<NamedShape> projector_tensors(int64_t token_width, int64_t hidden_size) {
  return {{"0.weight", {hidden_size, token_width}},
          {"0.bias", {hidden_size}},
          {"2.weight", {hidden_size, hidden_size}},
          {"2.bias", {hidden_size}}};
}

std::vector<NamedShape> qwen2_tensors(const LanguageConfig& config) {
  const int64_t hidden = config.hidden_size;
  const int64_t queries = config.heads * config.head_dim;
  const int64_t keys = config.kv_heads * config.head_dim;
  const int64_t inner = config.intermediate_size;
  List list;
  list.add("model.embed_tokens.weight", {config.vocab_size, hidden});
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string layer = cat("model.layers.", i, ".");
    list.add(layer + "self_attn.q_proj.weight", {queries, hidden});
    list.add(layer + "self_attn.q_proj.bias", {queries});
    list.add(layer + "self_attn.k_proj.weight", {keys, hidden});
    list.add(layer + "self_attn.k_proj.bias", {keys});
    list.add(layer + "self_attn.v_proj.weight", {keys, hidden});
    list.add(layer + "self_attn.v_proj.bias", {keys});
    list.add(layer + "self_attn.o_proj.weight", {hidden, queries});
    list.add(layer + "mlp.gate_proj.weight", {inner, hidden});
    list.add(layer + "mlp.up_proj.weight", {inner, hidden});
    list.add(layer + "mlp.down_proj.weight", {hidden, inner});
    list.add(layer + "input_layernorm.weight", {hidden});
    list.add(layer + "post_attention_layernorm.weight", {hidden});
  }
  list.add("model.norm.weight", {hidden});
  if (!config.tied) list.add("lm_head.weight", {config.vocab_size, hidden});
  return list.take();
}

}  // namespace fastvlm
