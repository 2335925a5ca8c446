// SPDX-License-Identifier: Apache-2.0
// Any bytes as an ONNX model: an error with a next step, or tensors as large as their shapes say.
#include <algorithm>
#include <cstdlib>

#include "formats/onnx_weights.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto weights = fastvlm::parse_onnx_weights(std::as_bytes(std::span(data, size)), "fuzzed");
  if (!weights.ok()) {
    if (weights.status().message.empty() || weights.status().hint.empty()) std::abort();
    return 0;
  }
  for (const auto& [name, tensor] : weights->tensors) {
    int64_t elements = 1;
    for (const int64_t dimension : tensor.shape) elements *= dimension;
    if (static_cast<size_t>(elements) != tensor.values.size()) std::abort();
  }
  return 0;
}
