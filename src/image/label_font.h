// SPDX-License-Identifier: Apache-2.0
// The files of data/label_font/, which the program carries. Internal to image/.
#pragma once

#include <cstdint>
#include <span>

namespace fastvlm {

struct LabelFontStrip {
  int size = 0;  // pixels of an em
  std::span<const uint8_t> png;
};

std::span<const LabelFontStrip> label_font_strips();  // ascending by size

}  // namespace fastvlm
