// SPDX-License-Identifier: Apache-2.0
#include "quantize/float_tensors.h"

#include <cmath>
#include <vector>

#include "base/strings.h"
#include "formats/narrow.h"

namespace fastvlm {

std::vector<int64_t> last_channels(const std::vector<int64_t>& shape) {
  if (shape.size() == 4) return {shape[0], shape[2], shape[3], shape[1]};
  if (shape.size() == 3) return {shape[1], shape[2], shape[0]};
  return shape;
}

Status beyond_f16(const std::string& name) {
  return error(Code::kInvalid, cat(name, ": holds values beyond 65504, the largest of F16"),
               "check the checkpoint with fastvlm doctor");
}

Status append_floats(SafetensorsWriter& writer, std::span<const float> values, DType dtype,
                     const std::string& name) {
  if (dtype == DType::kF32) return writer.append(std::as_bytes(values));
  std::vector<uint16_t> halves(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kBF16) {
      halves[i] = f32_to_bf16(values[i]);
      continue;
    }
    if (!(std::abs(values[i]) <= kLargestF16)) return beyond_f16(name);
    halves[i] = f32_to_f16(values[i]);
  }
  return writer.append(std::as_bytes(std::span(halves)));
}

}  // namespace fastvlm
