// SPDX-License-Identifier: Apache-2.0
#include "image/thumbnail.h"

#include <webp/encode.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "base/base64.h"
#include "image/decode.h"
#include "image/resize.h"

namespace fastvlm {
namespace {

constexpr float kQuality = 70;

}  // namespace

std::string thumbnail(const std::filesystem::path& picture, int width) {
  const Result<Image> image = load_image(picture);
  if (!image.ok()) return {};
  const int shown = std::min(width, image->width);
  const int height =
      std::max(1, static_cast<int>(static_cast<int64_t>(image->height) * shown / image->width));
  const Image small = resize_bicubic(*image, shown, height);
  uint8_t* bytes = nullptr;
  const size_t size =
      WebPEncodeRGB(small.rgb.data(), small.width, small.height, small.width * 3, kQuality, &bytes);
  const std::unique_ptr<uint8_t, decltype(&WebPFree)> owner(bytes, &WebPFree);
  if (size == 0) return {};
  return "data:image/webp;base64," + base64(std::as_bytes(std::span(bytes, size)));
}

}  // namespace fastvlm
