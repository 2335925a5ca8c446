// SPDX-License-Identifier: Apache-2.0
// Letters for labels: ASCII and Latin-1 of one bold font, rasterised beforehand in a few sizes.
// Goals: readable text on pictures without a font file or library. Non-goals: other scripts,
// kerning, shaping.
//
// data/label_font/<size>.png is a strip: in its first row a white pixel stands above the left edge
// of each letter, below it lies the coverage of the letters, black to white; U+0020..7E,
// U+00A0..FF, and a box for everything else. tools/label_font/make_strips.py makes it.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "image/image.h"

namespace fastvlm {

using Rgb = std::array<uint8_t, 3>;

// The letters of one size.
class Lettering {
 public:
  // The largest letters of at most `size` pixels (from ascender to descender a sixth more), or the
  // smallest that there are. Strips are unpacked at their first use and then kept.
  static const Lettering& of_size(double size);

  int height() const { return strip_.height - 1; }  // of a line, pixels
  int width(std::string_view utf8) const;           // of a text, pixels

  // Blends the text onto the picture, its top left corner at (x, y); what lies outside is cut off.
  void draw(Image& image, int x, int y, std::string_view utf8, Rgb color) const;

 private:
  explicit Lettering(Image strip);

  static constexpr size_t kLetters = 192;
  Image strip_;
  std::array<int, kLetters + 1> edges_{};  // left edge of each letter, and the end
};

}  // namespace fastvlm
