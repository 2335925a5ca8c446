// SPDX-License-Identifier: Apache-2.0
// The one kind of picture that the program handles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fastvlm {

// Upright 8-bit RGB, rows from top to bottom: rgb is [height, width, 3], row-major. A picture that
// a decoder returned has both sides at least 1 and at most kMaxImageSide.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;

  uint8_t* row(int y) { return rgb.data() + static_cast<size_t>(y) * stride(); }
  const uint8_t* row(int y) const { return rgb.data() + static_cast<size_t>(y) * stride(); }
  size_t stride() const { return static_cast<size_t>(width) * 3; }  // bytes of a row
};

// The longest side that JPEG can express; longer ones are refused whatever the format.
inline constexpr int kMaxImageSide = 65'535;

// A black picture. Both sides must be positive.
inline Image blank_image(int width, int height) {
  return {width, height,
          std::vector<uint8_t>(static_cast<size_t>(width) * static_cast<size_t>(height) * 3)};
}

}  // namespace fastvlm
