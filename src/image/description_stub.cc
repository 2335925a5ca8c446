// SPDX-License-Identifier: Apache-2.0
// Takes the place of description_exempi.cc in builds without libexempi (FASTVLM_WITH_EXEMPI=OFF).
#include "image/description.h"
#include "image/xmp_packet.h"

namespace fastvlm {
namespace {

Status unsupported(const std::string& name) {
  return error(
      Code::kUnsupported, cat(name, ": this build does not write into pictures"),
      "write sidecars with --sidecar --format xmp, or build with -DFASTVLM_WITH_EXEMPI=ON");
}

}  // namespace

bool can_write_descriptions() {
  return false;
}

namespace xmp {

Result<Description> description_in(std::string_view, const std::string& name) {
  return unsupported(name);
}

Result<std::string> packet_with(std::string_view, std::string_view, const std::string& name) {
  return unsupported(name);
}

}  // namespace xmp
}  // namespace fastvlm
