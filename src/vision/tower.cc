// SPDX-License-Identifier: Apache-2.0
#include "vision/tower.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/attention.h"
#include "kernels/conv_mlp.h"
#include "kernels/convolution.h"
#include "kernels/dot_matmul.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/scratch.h"
#include "vision/tower_reader.h"

namespace fastvlm {
namespace {

constexpr float kLayerNormEps = 1e-5F;

// Floats, not cleared, aligned to a cache line.
class Buffer {
 public:
  explicit Buffer(int64_t count)
      : bytes_(aligned_bytes(count * static_cast<int64_t>(sizeof(float)))) {}
  float* data() { return reinterpret_cast<float*>(bytes_.get()); }

 private:
  AlignedBytes bytes_;
};

// The two maps that a pass swaps.
struct Maps {
  explicit Maps(int64_t count) : floats(count), x(count), spare(count) {}

  int64_t floats;  // of each
  Buffer x;
  Buffer spare;
};

// Floats of the larger of the two maps that a pass swaps: every map between two modules, beside the
// map of an attention block its norm, queries, keys and values, and the stem's first, four times as
// large as any other, if somebody looks at it.
int64_t map_floats(const TowerModules& tower, int64_t height, int64_t width, bool whole_stem) {
  int64_t area = (height / 4) * (width / 4);
  int64_t channels = tower.stem.second.channels_out();
  int64_t floats = (whole_stem ? 4 : 1) * area * channels;
  for (const auto& module : tower.network) {
    if (const auto* down = std::get_if<Downsample>(&module)) {
      area /= 4;
      channels = down->large_kernel.channels_out();
      floats = std::max(floats, area * channels);
    } else if (const auto* blocks = std::get_if<Blocks>(&module)) {
      for (const Block& block : *blocks) {
        const bool attends = std::holds_alternative<SelfAttention>(block.mixer);
        floats = std::max(floats, area * channels * (attends ? 4 : 1));
      }
    }
  }
  return floats;
}

// One walk of an image through the tower. x_ is the map at hand, [height_, width_, channels_];
// spare_ is where the next one is made.
class ForwardPass {
 public:
  ForwardPass(Maps& maps, ThreadPool& pool, const StageSink& sink)
      : pool_(pool), sink_(sink), x_(maps.x), spare_(maps.spare) {}

  // patch_embed
  void stem(const Stem& stem, const float* pixels, int64_t height, int64_t width) {
    height_ = height / 4;
    width_ = width / 4;
    channels_ = stem.second.channels_out();
    if (sink_) {
      dense(pool_, pixels, height, width, stem.first, x_.data(), Activation::kGelu);
      show("patch_embed.0", x_, height / 2, width / 2);
      depthwise(pool_, x_.data(), height / 2, width / 2, stem.second, spare_.data(),
                Activation::kGelu);
    } else {
      dense_depthwise(pool_, pixels, height, width, stem.first, stem.second, spare_.data(),
                      Activation::kGelu);
    }
    show("patch_embed.1", spare_);
    linear(spare_.data(), stem.third, x_.data(), {.activation = Activation::kGelu});
    show("patch_embed.2", x_);
  }

  void module(const std::string& name, const Blocks& blocks) {
    for (size_t i = 0; i < blocks.size(); ++i) {
      const std::string block_name = cat(name, ".", i);
      if (const auto* attention = std::get_if<SelfAttention>(&blocks[i].mixer)) {
        attend(block_name, *attention);
      } else {
        const RepMixer& mixer = std::get<RepMixer>(blocks[i].mixer);
        if (!sink_) {
          mix_and_feed_forward(mixer.conv, blocks[i].ffn);
          continue;
        }
        mix(block_name, mixer);
      }
      feed_forward(block_name, blocks[i].ffn);
      show(block_name, x_);
    }
  }

  void module(const std::string& name, const Downsample& down) {
    const DepthwiseConvolution& conv = down.large_kernel;
    convolve(conv, down.squeeze_excite, spare_.data());
    height_ /= 2;
    width_ /= 2;
    channels_ = conv.channels_out();
    excite(down.squeeze_excite, spare_.data());
    show(name + ".proj.0", spare_);
    linear(spare_.data(), down.pointwise, x_.data(), {.activation = Activation::kGelu});
  }

  void module(const std::string&, const PositionEncoding& conv) {
    depthwise(pool_, x_.data(), height_, width_, conv, spare_.data());
    std::swap(x_, spare_);
  }

  void show_module(const std::string& name) { show(name, x_); }

  // conv_exp; its map is the tokens.
  Tokens expand(const TowerModules& tower) {
    Tokens tokens{height_ * width_, tower.conv_exp.channels_out(), {}};
    tokens.values.resize(static_cast<size_t>(tokens.count * tokens.width));
    convolve(tower.conv_exp, tower.conv_exp_squeeze_excite, tokens.values.data());
    channels_ = tokens.width;
    excite(tower.conv_exp_squeeze_excite, tokens.values.data());
    if (sink_) sink_("conv_exp", height_, width_, channels_, tokens.values.data());
    return tokens;
  }

 private:
  // x = mixer(x)
  void mix(const std::string& name, const RepMixer& mixer) {
    depthwise(pool_, x_.data(), height_, width_, mixer.conv, spare_.data());
    std::swap(x_, spare_);
    show(name + ".token_mixer", x_);
  }

  // x = x + layer_scale * proj(heads(qkv(norm(x))))
  void attend(const std::string& name, const SelfAttention& layer) {
    const int64_t count = height_ * width_;
    const int64_t width = channels_;
    float* normed = spare_.data();
    float* qkv = normed + count * width;
    if (layer.layer_norm) {
      layer_norm(pool_, x_.data(), count, width, layer.norm_weight.data(), layer.norm_bias.data(),
                 kLayerNormEps, normed);
    } else {
      affine(pool_, x_.data(), count, width, layer.norm_weight.data(), layer.norm_bias.data(),
             normed);
    }
    multiply(normed, width, layer.qkv, qkv, 3 * width, {});
    const int64_t heads = width / kHeadDim;
    const AttentionShape shape{.queries = count,
                               .keys = count,
                               .heads = heads,
                               .kv_heads = heads,
                               .head_dim = kHeadDim,
                               .scale = 1.0F / std::sqrt(static_cast<float>(kHeadDim))};
    float* mixed = normed;
    attention(pool_, shape, qkv, 3 * width, qkv + width, 3 * width, qkv + 2 * width, 3 * width,
              mixed, width);
    if (sink_) {
      linear(mixed, layer.proj, qkv, {});
      sink_(name + ".token_mixer", height_, width_, channels_, qkv);
    }
    linear(mixed, layer.proj, x_.data(), residual(layer.layer_scale));
  }

  // Calls fn(fc1, fc2) with the weights of both layers, which are packed alike.
  template <typename Function>
  static void with_layers(const ConvFfn& ffn, const Function& fn) {
    std::visit(
        [&](const auto& fc1) { fn(fc1, std::get<std::decay_t<decltype(fc1)>>(ffn.fc2.weights)); },
        ffn.fc1.weights);
  }

  // mix() and feed_forward() at once, where nobody looks in between.
  void mix_and_feed_forward(const DepthwiseConvolution& mixer, const ConvFfn& ffn) {
    with_layers(ffn, [&](const auto& fc1, const auto& fc2) {
      mixed_conv_mlp(pool_, x_.data(), height_, width_, mixer, ffn.conv, fc1, ffn.fc1.bias.data(),
                     fc2, spare_.data(),
                     {.bias = ffn.fc2.bias.data(), .scale = ffn.layer_scale.data()});
    });
    std::swap(x_, spare_);
  }

  // x = x + layer_scale * fc2(gelu(fc1(conv(x))))
  void feed_forward(const std::string& name, const ConvFfn& ffn) {
    const auto run = [&](float* y, Epilogue epilogue) {
      epilogue.bias = ffn.fc2.bias.data();
      with_layers(ffn, [&](const auto& fc1, const auto& fc2) {
        conv_mlp(pool_, x_.data(), height_, width_, ffn.conv, fc1, ffn.fc1.bias.data(), fc2, y,
                 epilogue);
      });
    };
    if (sink_) {
      run(spare_.data(), {});
      show(name + ".convffn", spare_);
    }
    run(spare_.data(), residual(ffn.layer_scale));
    std::swap(x_, spare_);
  }

  // The convolution before a GELU, which is left to excite() when there is a squeeze-and-excite.
  void convolve(const DepthwiseConvolution& conv, const std::optional<SqueezeExcite>& se,
                float* y) {
    depthwise(pool_, x_.data(), height_, width_, conv, y,
              se ? Activation::kNone : Activation::kGelu);
  }

  // y = gelu(y * sigmoid(expand(relu(reduce(mean of y)))))
  void excite(const std::optional<SqueezeExcite>& se, float* y) {
    if (!se) return;
    std::vector<float> scale(static_cast<size_t>(channels_));
    std::vector<float> hidden(se->reduce_bias.size());
    channel_mean(pool_, y, height_ * width_, channels_, scale.data());
    matmul(pool_, scale.data(), 1, channels_, se->reduce, hidden.data(), se->reduce.rows(),
           {.bias = se->reduce_bias.data(), .activation = Activation::kRelu});
    matmul(pool_, hidden.data(), 1, se->expand.cols(), se->expand, scale.data(), channels_,
           {.bias = se->expand_bias.data()});
    for (float& value : scale) value = 1.0F / (1.0F + std::exp(-value));
    scale_channels_gelu(pool_, y, height_ * width_, channels_, scale.data());
  }

  // y = epilogue(layer(x)) for every pixel.
  void linear(const float* x, const Linear& layer, float* y, Epilogue epilogue) {
    epilogue.bias = layer.bias.data();
    multiply(x, channels_, layer.weights, y, channels_, epilogue);
  }

  void multiply(const float* x, int64_t x_width, const Weights& weights, float* y, int64_t y_width,
                const Epilogue& epilogue) {
    std::visit(
        [&](const auto& w) {
          matmul(pool_, x, height_ * width_, x_width, w, y, y_width, epilogue);
        },
        weights);
  }

  Epilogue residual(const std::vector<float>& layer_scale) {
    return {.scale = layer_scale.data(), .residual = x_.data(), .residual_stride = channels_};
  }

  void show(const std::string& name, Buffer& map) { show(name, map, height_, width_); }
  void show(const std::string& name, Buffer& map, int64_t height, int64_t width) {
    if (sink_) sink_(name, height, width, channels_, map.data());
  }

  ThreadPool& pool_;
  const StageSink& sink_;
  Buffer& x_;  // the map at hand
  Buffer& spare_;
  int64_t height_ = 0;
  int64_t width_ = 0;
  int64_t channels_ = 0;
};

}  // namespace

// Kept from one pass to the next: memory that the system gives anew it clears first, page by page.
struct VisionTower::KeptMaps {
  std::unique_ptr<Maps> take(int64_t floats) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (maps && maps->floats < floats) maps.reset();
    return maps ? std::move(maps) : std::make_unique<Maps>(floats);
  }
  void give_back(std::unique_ptr<Maps> used) {
    const std::lock_guard<std::mutex> lock(mutex);
    maps = std::move(used);
  }

  std::mutex mutex;
  std::unique_ptr<Maps> maps;  // none: a pass has them
};

VisionTower::VisionTower(std::unique_ptr<const TowerModules> modules)
    : modules_(std::move(modules)), kept_(std::make_unique<KeptMaps>()) {}
VisionTower::VisionTower(VisionTower&&) noexcept = default;
VisionTower& VisionTower::operator=(VisionTower&&) noexcept = default;
VisionTower::~VisionTower() = default;

Result<VisionTower> VisionTower::load(const Checkpoint& checkpoint, ThreadPool& pool,
                                      Arithmetic arithmetic) {
  if (!checkpoint.has_vision()) {
    return error(Code::kNotFound, cat(checkpoint.folder().string(), ": no vision tower"),
                 "put vision_tower.safetensors into the folder or name the tower's own file");
  }
  FASTVLM_ASSIGN(TowerModules modules, read_tower(checkpoint, pool, arithmetic));
  return VisionTower(std::make_unique<const TowerModules>(std::move(modules)));
}

int64_t VisionTower::stride() const {
  return modules_->stride;
}
int64_t VisionTower::channels() const {
  return modules_->conv_exp.channels_out();
}
int64_t VisionTower::parameters() const {
  return modules_->parameters;
}
bool VisionTower::is_training_form() const {
  return modules_->training_form;
}
const std::string& VisionTower::kind() const {
  return modules_->kind;
}

int64_t VisionTower::token_count(int64_t height, int64_t width) const {
  return (height / stride()) * (width / stride());
}

int64_t VisionTower::workspace_bytes(int64_t height, int64_t width) const {
  return 2 * map_floats(*modules_, height, width, false) * static_cast<int64_t>(sizeof(float));
}

Result<Tokens> VisionTower::encode(const float* pixels, int64_t height, int64_t width,
                                   ThreadPool& pool, const StageSink& sink) const {
  if (height < 1 || width < 1 || height % stride() != 0 || width % stride() != 0) {
    return error(Code::kUsage,
                 cat("image: expected sides that are multiples of ", stride(), ", found ", width,
                     " x ", height),
                 "resize or pad the image first; the model's own size is in its config");
  }
  const TowerModules& tower = *modules_;
  std::unique_ptr<Maps> maps =
      kept_->take(map_floats(tower, height, width, static_cast<bool>(sink)));
  ForwardPass pass(*maps, pool, sink);
  pass.stem(tower.stem, pixels, height, width);
  for (size_t n = 0; n < tower.network.size(); ++n) {
    const std::string name = cat("network.", n);
    std::visit([&](const auto& module) { pass.module(name, module); }, tower.network[n]);
    pass.show_module(name);
  }
  Tokens tokens = pass.expand(tower);
  kept_->give_back(std::move(maps));
  return tokens;
}

}  // namespace fastvlm
