// SPDX-License-Identifier: Apache-2.0
#include "dataset/picture_look.h"

#include <algorithm>
#include <cmath>

namespace fastvlm {

PictureLook look_of(const Image& image) {
  constexpr int kSide = 100;  // points of the grid along each side
  const int step_x = std::max(1, image.width / kSide);
  const int step_y = std::max(1, image.height / kSide);
  PictureLook look;
  double squares = 0;
  double count = 0;
  for (int y = step_y / 2; y < image.height; y += step_y) {
    for (int x = step_x / 2; x < image.width; x += step_x) {
      const uint8_t* pixel = image.row(y) + 3 * x;
      const double red = pixel[0] / 255.0;
      const double green = pixel[1] / 255.0;
      const double blue = pixel[2] / 255.0;
      const double luma = 0.299 * red + 0.587 * green + 0.114 * blue;  // BT.601
      look.brightness += luma;
      squares += luma * luma;
      look.saturation += std::max({red, green, blue}) - std::min({red, green, blue});
      look.warmth += red - blue;
      ++count;
    }
  }
  look.brightness /= count;
  look.saturation /= count;
  look.warmth /= count;
  look.contrast = std::sqrt(std::max(0.0, squares / count - look.brightness * look.brightness));
  return look;
}

}  // namespace fastvlm
