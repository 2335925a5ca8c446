// SPDX-License-Identifier: Apache-2.0
// Any bytes as a picture that a caption is written into: an error with a hint, or a file from which
// the caption is read again.
#include <cstdlib>

#include "image/description.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto changed =
      fastvlm::with_description(std::as_bytes(std::span(data, size)), "A dog.", "fuzzed");
  if (!changed.ok()) {
    if (changed.status().message.empty() || changed.status().hint.empty()) std::abort();
    return 0;
  }
  const auto found = fastvlm::read_description(std::as_bytes(std::span(*changed)), "fuzzed");
  if (!found.ok() || *found != "A dog.") std::abort();
  return 0;
}
