// SPDX-License-Identifier: Apache-2.0
// From pixels to the bytes of a picture file. Writing them is the caller's (formats/atomic_file.h).
#pragma once

#include <string>

#include "base/result.h"
#include "image/image.h"

namespace fastvlm {

// Baseline JPEG, 4:4:4 so that thin coloured lines stay sharp; quality 1..100. `name` stands in
// messages. Errors: kUsage (a side of 0 or above kMaxImageSide), kIo (the library refused).
Result<std::string> encode_jpeg(const Image& image, const std::string& name, int quality = 92);

// 8-bit RGB.
Result<std::string> encode_png(const Image& image, const std::string& name);

}  // namespace fastvlm
