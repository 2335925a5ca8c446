// SPDX-License-Identifier: Apache-2.0
// From the bytes of a picture to upright RGB.
//
// Goals: the pixels are those of Pillow's `open(...).convert("RGB")` (the reference of the model),
// the format is told by content and never by name, and whatever bytes come in, the answer is a
// picture or one clear error; nothing large is allocated before the size has been checked.
// Non-goals: colour management (profiles and gamma are ignored, as the reference does), compositing
// (alpha is dropped), several frames (the first one counts), and rescuing damaged files.
//
// Two deliberate differences from Pillow: the EXIF orientation is applied unless switched off, and
// 16-bit grey keeps its high byte, as 16-bit colour does, where Pillow clips it to nearly white.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "base/result.h"
#include "image/image.h"

namespace fastvlm {

struct DecodeOptions {
  // Turn the picture upright by its EXIF tag (JPEG, PNG, WebP). HEIC and AVIF carry their rotation
  // in the format itself, and it is always applied.
  bool apply_exif = true;
  // Larger pictures are refused before they are decoded; the default is Pillow's.
  int64_t max_pixels = 178'956'970;
};

enum class ImageFormat { kJpeg, kPng, kWebp, kHeif, kAvif, kGif, kBmp, kUnknown };

const char* format_name(ImageFormat format);  // "JPEG"

// The format that the first bytes announce; the rest may still be damaged.
ImageFormat sniff(std::span<const std::byte> bytes);

// `name` stands in error messages. Errors: kInvalid (empty, not a picture, truncated, damaged),
// kLimit (too many pixels, too long a side), kUnsupported (a format or codec that this build does
// not read).
Result<Image> decode_image(std::span<const std::byte> bytes, const std::string& name,
                           const DecodeOptions& options = {});

// The same for a file; also kNotFound and kIo.
Result<Image> load_image(const std::filesystem::path& path, const DecodeOptions& options = {});

}  // namespace fastvlm
