// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "base/random.h"
#include "formats/hashed_checkpoint.h"

namespace fastvlm {
namespace {

uint64_t fnv1a(uint64_t hash, std::string_view text) {
  for (const char c : text) {
    hash ^= static_cast<unsigned char>(c);
    hash *= 0x100000001B3U;
  }
  return hash;
}

// Centre and spread of a tensor's values; the first matching rule counts. `fan` is the product of
// all dimensions after the first.
struct Distribution {
  double centre;
  double spread;
  bool identity = false;  // a folded skip: 1 at the centre of each kernel
};

Distribution distribution(std::string_view name, const std::vector<int64_t>& shape, double fan) {
  const auto ends = [&](std::string_view end) { return name.ends_with(end); };
  const auto has = [&](std::string_view part) { return name.find(part) != std::string_view::npos; };
  if (ends("running_var")) return {1, 0.5};
  if (ends("running_mean")) return {0, 0.2};
  if (has("layer_scale")) return {0.0625, 0.03125};
  if (ends("embed_tokens.weight")) return {0, 0.05};
  if (ends("layernorm.weight") || ends("model.norm.weight")) return {1, 0.5};
  if (ends(".bn.weight") || ends(".norm.weight")) return {1, 0.4};
  if (ends(".bias")) return {0, has("_proj.bias") ? 0.5 : 0.1};
  const bool seven = shape.size() == 4 && shape[2] == 7;
  if (ends("token_mixer.reparam_conv.weight") || (ends(".reparam_conv.weight") && seven)) {
    return {0, 0.3 * std::sqrt(3 / fan), true};
  }
  return {0, 1.5 * std::sqrt(3 / fan)};
}

}  // namespace

HashedTensor::HashedTensor(std::string_view salt, std::string_view name,
                           const std::vector<int64_t>& shape)
    : hash_(fnv1a(fnv1a(0xCBF29CE484222325U, salt), name)) {
  double fan = 1;
  for (size_t i = 1; i < shape.size(); ++i) fan *= static_cast<double>(shape[i]);
  const Distribution chosen = distribution(name, shape, fan);
  centre_ = chosen.centre;
  spread_ = chosen.spread;
  if (chosen.identity) kernel_ = shape[2] * shape[3];
}

double HashedTensor::unit(int64_t index) const {
  const uint64_t number = splitmix(hash_ + (static_cast<uint64_t>(index) + 1) * kSplitMixStep);
  return static_cast<double>(number >> 40) * 0x1p-24;
}

float HashedTensor::value(int64_t index) const {
  const auto value = static_cast<float>(centre_ + spread_ * (2 * unit(index) - 1));
  return kernel_ != 0 && index % kernel_ == kernel_ / 2 ? value + 1.0F : value;
}

}  // namespace fastvlm
