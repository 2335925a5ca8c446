// SPDX-License-Identifier: Apache-2.0
#include "evaluate/thumbnail.h"

#include <webp/encode.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "image/decode.h"
#include "image/resize.h"

namespace fastvlm {
namespace {

constexpr float kQuality = 70;

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const auto byte = [&](size_t j) {
      return j < bytes.size() ? static_cast<unsigned char>(bytes[j]) : 0U;
    };
    const unsigned group = byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2);
    for (unsigned digit = 0; digit < 4; ++digit) {
      const bool there = i + digit <= bytes.size();
      text += there ? kDigits[group >> (18 - 6 * digit) & 63] : '=';
    }
  }
  return text;
}

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
  return "data:image/webp;base64," + base64({reinterpret_cast<const char*>(bytes), size});
}

}  // namespace fastvlm
