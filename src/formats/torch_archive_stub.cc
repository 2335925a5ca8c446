// SPDX-License-Identifier: Apache-2.0
// In the place of torch_archive.cc where the build has no libzip.
#include "base/strings.h"
#include "formats/hints.h"
#include "formats/torch_archive.h"

namespace fastvlm {

Result<DetectorWeights> parse_torch_archive(std::span<const std::byte>, std::string_view label) {
  return error(Code::kUnsupported, cat(label, ": this build reads no .pt files"),
               kOtherDetectorFile);
}

}  // namespace fastvlm
