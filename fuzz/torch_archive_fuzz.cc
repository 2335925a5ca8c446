// SPDX-License-Identifier: Apache-2.0
// Any bytes as a PyTorch archive, or, where they are no archive, as the pickle in one: an error
// with a next step, or tensors as large as their shapes say.
#include <algorithm>
#include <cstdlib>

#include "formats/torch_archive.h"

namespace {

void check(const fastvlm::Result<fastvlm::DetectorWeights>& weights) {
  if (!weights.ok()) {
    if (weights.status().message.empty() || weights.status().hint.empty()) std::abort();
    return;
  }
  for (const auto& [name, tensor] : weights->tensors) {
    int64_t elements = 1;
    for (const int64_t dimension : tensor.shape) elements *= dimension;
    if (static_cast<size_t>(elements) != tensor.values.size()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.starts_with("PK")) {
    check(fastvlm::parse_torch_archive(file, "fuzzed"));
    return 0;
  }
  // Storages of any size up to a limit, so that tensors are gathered.
  const fastvlm::StorageReader zeros =
      [](const std::string&, uint64_t bytes) -> fastvlm::Result<std::vector<std::byte>> {
    if (bytes <= 4096) return std::vector<std::byte>(bytes);
    return fastvlm::error(fastvlm::Code::kLimit, "too large", "nothing");
  };
  check(fastvlm::read_module_tree(file, zeros, "fuzzed"));
  return 0;
}
