// SPDX-License-Identifier: Apache-2.0
// Float tensors on their way into a file. Internal to quantize/.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/safetensors.h"

namespace fastvlm {

// As mlx-vlm stores them: [out, in, kH, kW] -> [out, kH, kW, in]; [C, 1, 1] -> [1, 1, C].
std::vector<int64_t> last_channels(const std::vector<int64_t>& shape);

inline constexpr float kLargestF16 = 65504;

// Appends values as kF32, kF16 or kBF16. `name` stands in messages. kInvalid for a value that F16
// cannot hold.
Status append_floats(SafetensorsWriter& writer, std::span<const float> values, DType dtype,
                     const std::string& name);
Status beyond_f16(const std::string& name);

}  // namespace fastvlm
