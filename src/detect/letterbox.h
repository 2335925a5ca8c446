// SPDX-License-Identifier: Apache-2.0
// How a picture becomes the network's input, as Ultralytics does it: scaled so that the longer side
// is `size` (smaller pictures grow), with grey around it. All pixels are equal to those of OpenCV.
#pragma once

#include "base/thread_pool.h"
#include "detect/boxes.h"
#include "image/image.h"

namespace fastvlm {

inline constexpr int kDetectorStride = 32;  // the input's sides are multiples of it

struct Letterbox {
  int width = 0;  // of the input, pixels
  int height = 0;
  int left = 0;  // where the scaled picture begins
  int top = 0;
  int scaled_width = 0;  // of the picture
  int scaled_height = 0;
  double ratio = 1.0;  // scaled pixels a pixel
};

// `square`: the input is size x size; else padding goes to the next multiple of the stride. `size`
// is a multiple of the stride.
Letterbox plan_letterbox(int width, int height, int size, bool square);

// [height, width, 3] u8: the padding is 114.
Image apply_letterbox(const Image& image, const Letterbox& plan);

// `out` [height, width, 3] RGB 0..1.
void network_input(const Image& letterboxed, float* out, ThreadPool& pool);

// From pixels of the input to those of the picture, clipped to it.
Box box_in_picture(const Box& box, const Letterbox& plan, int width, int height);

}  // namespace fastvlm
