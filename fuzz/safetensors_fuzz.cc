// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file: an error with a next step, or views that lie inside the file
// and are as long as their shape says.
#include <algorithm>
#include <cstdlib>

#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const auto contents = fastvlm::parse_safetensors(file, "fuzzed");
  if (!contents.ok()) {
    if (contents.status().message.empty() || contents.status().hint.empty()) std::abort();
    return 0;
  }
  size_t covered = 0;
  for (const auto& [name, tensor] : contents->tensors) {
    int64_t elements = 1;
    for (const int64_t dimension : tensor.shape) elements *= dimension;
    if (elements != tensor.elements()) std::abort();
    const std::byte* begin = tensor.bytes.data();
    if (begin < file.data() || begin + tensor.bytes.size() > file.data() + size) std::abort();
    covered += tensor.bytes.size();
    // Reads every byte of the tensor, for the sanitizer to see.
    const auto floats = fastvlm::to_floats(tensor, name);
    if (floats.ok() && floats->size() != static_cast<size_t>(elements)) std::abort();
  }
  if (covered > size) std::abort();
  return 0;
}
