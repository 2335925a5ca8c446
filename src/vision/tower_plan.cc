// SPDX-License-Identifier: Apache-2.0
#include "vision/tower_plan.h"

#include <functional>
#include <numeric>
#include <string_view>

#include "kernels/dot_matrix.h"

namespace fastvlm {
namespace {

bool is_unskipped(std::string_view name) {
  return name.starts_with("vision.patch_embed.2.") || name.find(".proj.1.") != name.npos;
}

bool is_linear(const std::vector<int64_t>& shape) {
  return shape.size() == 2 || (shape.size() == 4 && shape[1] > 1 && shape[2] == 1 && shape[3] == 1);
}

int64_t packed_bytes(const Checkpoint& checkpoint, const std::string& name,
                     const std::vector<int64_t>& shape, Arithmetic arithmetic) {
  const int64_t elements =
      std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
  if (!is_linear(shape)) return elements * static_cast<int64_t>(sizeof(float));
  if (is_unskipped(name)) arithmetic = unskipped_arithmetic(arithmetic);
  if (arithmetic == Arithmetic::kF32) return checkpoint.stored_bytes(name);
  return elements * (arithmetic == Arithmetic::kBf16 ? 2 : 1);
}

}  // namespace

Arithmetic unskipped_arithmetic(Arithmetic tower) {
  if (tower != Arithmetic::kInt8) return tower;
  return is_fast(Arithmetic::kBf16) ? Arithmetic::kBf16 : Arithmetic::kF32;
}

int64_t TowerPlan::workspace_bytes(int64_t height, int64_t width) const {
  // Two maps of the largest stage, the first: each that follows has twice the channels on a quarter
  // of the area.
  return 2 * (height / 4) * (width / 4) * stem_width * static_cast<int64_t>(sizeof(float));
}

TowerPlan plan_tower(const Checkpoint& checkpoint, Arithmetic arithmetic) {
  TowerPlan plan;
  plan.stride = 4;
  for (const std::string& name : checkpoint.names()) {
    if (!name.starts_with("vision.") || name.starts_with("vision.head.")) continue;
    const std::vector<int64_t> shape = *checkpoint.shape(name);
    plan.weight_bytes += packed_bytes(checkpoint, name, shape, arithmetic);
    if (name.starts_with("vision.patch_embed.2.") && shape.size() == 4) {
      plan.stem_width = shape[0];
    }
    // Each downsampling has one pointwise convolution, in one of two forms.
    if (name.ends_with(".proj.1.reparam_conv.weight") ||
        name.ends_with(".proj.1.rbr_conv.0.conv.weight")) {
      plan.stride *= 2;
    }
  }
  return plan;
}

}  // namespace fastvlm
