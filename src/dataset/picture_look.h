// SPDX-License-Identifier: Apache-2.0
// What can be said of a picture's light and colours without knowing what it shows.
#pragma once

#include "image/image.h"

namespace fastvlm {

struct PictureLook {
  double brightness = 0;  // mean luma, 0 to 1
  double contrast = 0;    // standard deviation of the luma
  double saturation = 0;  // mean of (largest - smallest channel), 0 to 1
  double warmth = 0;      // mean of red - blue, -1 to 1
};

// From about 10,000 pixels on a grid.
PictureLook look_of(const Image& image);

}  // namespace fastvlm
