// SPDX-License-Identifier: Apache-2.0
// Any bytes through the picture decoders: a picture within the limit or an error with a hint.
#include <cstdlib>

#include "image/decode.h"

// libheif 1.15 and the AV1 decoder behind it lose a few bytes when they refuse a file.
extern "C" const char* __lsan_default_suppressions() {  // NOLINT: the sanitizer's name
  return "leak:libdav1d\nleak:libheif\n";
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fastvlm::DecodeOptions options = {.max_pixels = 1'000'000};
  const auto image = fastvlm::decode_image(std::as_bytes(std::span(data, size)), "fuzzed", options);
  if (!image.ok()) {
    if (image.status().message.empty() || image.status().hint.empty()) std::abort();
    return 0;
  }
  const auto pixels = static_cast<size_t>(image->width) * static_cast<size_t>(image->height);
  if (pixels < 1 || pixels > 1'000'000 || image->rgb.size() != pixels * 3) std::abort();
  return 0;
}
