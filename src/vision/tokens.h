// SPDX-License-Identifier: Apache-2.0
// What a tower gives to the projector, and the projector to the language model.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace fastvlm {

// Rows of features, one a cell of the image's grid: token y * grid_width + x.
struct Tokens {
  int64_t count = 0;
  int64_t width = 0;
  std::vector<float> values;  // [count, width]
};

// Called with each module's output during a forward pass (`fastvlm dump`): the module's name as in
// docs/MODEL.md ("patch_embed.2", "network.2.0.token_mixer", "network.7", "conv_exp"), and its
// values [height, width, channels], valid during the call only.
using StageSink = std::function<void(const std::string& name, int64_t height, int64_t width,
                                     int64_t channels, const float* values)>;

}  // namespace fastvlm
