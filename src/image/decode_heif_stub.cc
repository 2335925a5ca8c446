// SPDX-License-Identifier: Apache-2.0
// Takes the place of decode_heif.cc in builds without libheif (FASTVLM_WITH_HEIF=OFF).
#include "image/codec.h"

namespace fastvlm::codec {

Result<DecodedPicture> decode_heif(const Input& input) {
  return error(
      Code::kUnsupported,
      cat(input.name, ": this build does not read ", format_name(sniff(input.bytes)), " pictures"),
      "convert it to PNG or JPEG first, or build with -DFASTVLM_WITH_HEIF=ON");
}

}  // namespace fastvlm::codec
