// SPDX-License-Identifier: Apache-2.0
#include "image/lettering.h"

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "image/decode.h"
#include "image/label_font.h"

namespace fastvlm {
namespace {

constexpr size_t kUnknown = 191;  // the box

// The code point at the front of `utf8`, which is taken off; U+FFFD for bytes that are no UTF-8.
uint32_t take_code_point(std::string_view& utf8) {
  const auto first = static_cast<uint8_t>(utf8.front());
  utf8.remove_prefix(1);
  if (first < 0x80) return first;
  const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : first >= 0xC0 ? 1 : 0;
  uint32_t code = first & (0x3FU >> more);
  for (int i = 0; i < more; ++i) {
    if (utf8.empty() || (static_cast<uint8_t>(utf8.front()) & 0xC0) != 0x80) return 0xFFFD;
    code = code << 6 | (static_cast<uint8_t>(utf8.front()) & 0x3FU);
    utf8.remove_prefix(1);
  }
  return more == 0 ? 0xFFFD : code;
}

size_t letter_of(uint32_t code) {
  if (code >= 0x20 && code < 0x7F) return code - 0x20;
  if (code >= 0xA0 && code < 0x100) return code - 0xA0 + 95;
  return kUnknown;
}

}  // namespace

Lettering::Lettering(Image strip) : strip_(std::move(strip)) {
  size_t letter = 0;
  for (int x = 0; x < strip_.width && letter < kLetters; ++x) {
    if (strip_.row(0)[3 * x] != 0) edges_[letter++] = x;
  }
  edges_[kLetters] = strip_.width;
}

const Lettering& Lettering::of_size(double size) {
  static const std::vector<std::pair<int, Lettering>> kSizes = [] {
    std::vector<std::pair<int, Lettering>> sizes;
    for (const LabelFontStrip& strip : label_font_strips()) {
      auto image = decode_image(std::as_bytes(strip.png), "label font");
      if (!image.ok()) std::abort();  // the program itself is damaged
      sizes.emplace_back(strip.size, Lettering(std::move(*image)));
    }
    return sizes;
  }();
  const Lettering* best = &kSizes.front().second;
  for (const auto& [pixels, letters] : kSizes) {
    if (pixels <= size) best = &letters;
  }
  return *best;
}

int Lettering::width(std::string_view utf8) const {
  int width = 0;
  while (!utf8.empty()) {
    const size_t letter = letter_of(take_code_point(utf8));
    width += edges_[letter + 1] - edges_[letter];
  }
  return width;
}

void Lettering::draw(Image& image, int x, int y, std::string_view utf8, Rgb color) const {
  while (!utf8.empty()) {
    const size_t letter = letter_of(take_code_point(utf8));
    const int left = edges_[letter];
    const int width = edges_[letter + 1] - left;
    for (int row = std::max(0, -y); row < std::min(height(), image.height - y); ++row) {
      const uint8_t* coverage = strip_.row(row + 1) + 3 * left;
      for (int column = std::max(0, -x); column < std::min(width, image.width - x); ++column) {
        const int weight = coverage[3 * column];
        uint8_t* pixel = image.row(y + row) + 3 * (x + column);
        for (size_t c = 0; c < 3; ++c) {
          pixel[c] =
              static_cast<uint8_t>((pixel[c] * (255 - weight) + color[c] * weight + 127) / 255);
        }
      }
    }
    x += width;
  }
}

}  // namespace fastvlm
