// SPDX-License-Identifier: Apache-2.0
// What the one-file-per-format decoders share; internal to this room.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "image/decode.h"

namespace fastvlm::codec {

// A picture as stored, and the EXIF orientation (1..8) that would turn it upright.
struct DecodedPicture {
  Image image;
  int orientation = 1;
};

// What every decoder is given.
struct Input {
  std::span<const std::byte> bytes;
  const std::string& name;  // for messages
  const DecodeOptions& options;
};

Result<DecodedPicture> decode_jpeg(const Input& input);
Result<DecodedPicture> decode_png(const Input& input);
Result<DecodedPicture> decode_webp(const Input& input);
Result<DecodedPicture> decode_heif(const Input& input);  // HEIC and AVIF
Result<DecodedPicture> decode_bmp(const Input& input);

// Refuses sides and areas that are zero or above the limits; to be called before any allocation.
Status check_size(const Input& input, int64_t width, int64_t height);

// "photo.jpg: the JPEG data is damaged or cut short: <detail>"
Status damaged(const Input& input, ImageFormat format, std::string_view detail);

Status out_of_memory(const std::string& name);

}  // namespace fastvlm::codec
