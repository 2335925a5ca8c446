// SPDX-License-Identifier: Apache-2.0
// What a tower takes, from the shapes in a checkpoint alone: for plans made before anything is
// read. A checkpoint whose tower is not of the FastViT family gives figures without meaning;
// reading it is refused later.
#pragma once

#include <cstdint>

#include "formats/checkpoint.h"
#include "kernels/precision.h"

namespace fastvlm {

struct TowerPlan {
  int64_t stride = 0;        // pixels a token along each side
  int64_t stem_width = 0;    // channels of the first map
  int64_t weight_bytes = 0;  // packed

  // Bytes that encode() holds besides the weights, its input and its result.
  int64_t workspace_bytes(int64_t height, int64_t width) const;
};

// What layers that no skip leads around compute at in a tower of this arithmetic: all that follows
// sees their error, so in an int8 tower they stay at bf16, or at f32 where bf16 is no faster.
Arithmetic unskipped_arithmetic(Arithmetic tower);

TowerPlan plan_tower(const Checkpoint& checkpoint, Arithmetic arithmetic);

}  // namespace fastvlm
