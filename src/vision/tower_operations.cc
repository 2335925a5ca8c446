// SPDX-License-Identifier: Apache-2.0
// How much a pass through the tower multiplies.
#include "vision/modules.h"
#include "vision/tower.h"

namespace fastvlm {
namespace {

int64_t elements(const Weights& weights) {
  return std::visit([](const auto& matrix) { return matrix.rows() * matrix.cols(); }, weights);
}

// A pixel of the output of a depthwise convolution.
int64_t taps(const DepthwiseConvolution& conv) {
  return int64_t{conv.kernel} * conv.kernel * conv.channels_out();
}

int64_t once(const std::optional<SqueezeExcite>& se) {
  return se ? 2 * se->reduce.rows() * se->reduce.cols() : 0;
}

// Queries with keys, and their weights with values: every pixel with every pixel.
int64_t mixing(const RepMixer& mixer, int64_t pixels, int64_t) {
  return pixels * taps(mixer.conv);
}
int64_t mixing(const SelfAttention& layer, int64_t pixels, int64_t channels) {
  return pixels * (elements(layer.qkv) + elements(layer.proj.weights)) +
         2 * pixels * pixels * channels;
}

}  // namespace

int64_t VisionTower::multiply_adds(int64_t height, int64_t width) const {
  const TowerModules& tower = *modules_;
  const Stem& stem = tower.stem;
  int64_t pixels = (height / 4) * (width / 4);
  const int64_t stem_outputs = stem.second.channels_in;
  int64_t total = 4 * pixels * stem.first.kernel * stem.first.kernel * 3 * stem_outputs +
                  pixels * (taps(stem.second) + elements(stem.third.weights));
  for (const auto& module : tower.network) {
    if (const auto* down = std::get_if<Downsample>(&module)) {
      pixels /= 4;
      total += pixels * (taps(down->large_kernel) + elements(down->pointwise.weights)) +
               once(down->squeeze_excite);
    } else if (const auto* position = std::get_if<PositionEncoding>(&module)) {
      total += pixels * taps(*position);
    } else {
      for (const Block& block : std::get<Blocks>(module)) {
        const int64_t channels = block.ffn.conv.channels_in;
        total += std::visit([&](const auto& mixer) { return mixing(mixer, pixels, channels); },
                            block.mixer) +
                 pixels * (taps(block.ffn.conv) + elements(block.ffn.fc1.weights) +
                           elements(block.ffn.fc2.weights));
      }
    }
  }
  return total + pixels * taps(tower.conv_exp) + once(tower.conv_exp_squeeze_excite);
}

}  // namespace fastvlm
