// SPDX-License-Identifier: Apache-2.0
// Resampling: bicubic byte for byte as Pillow does it (MODEL.md 5.2), bilinear as OpenCV does.
#pragma once

#include <array>
#include <cstdint>

#include "image/image.h"

namespace fastvlm {

// A picture placed on a larger canvas of one colour; the canvas is never built. That makes padding
// cost nothing, however long and thin the picture is.
struct Canvas {
  int width = 0;
  int height = 0;
  int left = 0;  // where the picture's top left corner lies
  int top = 0;
  std::array<uint8_t, 3> background{0, 0, 0};
};

// The part of the result that is wanted: the canvas is scaled to full_width x full_height, of which
// only [left, left + width) x [top, top + height) is computed.
struct Window {
  int full_width = 0;
  int full_height = 0;
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;
};

// The general form: [window.height, window.width, 3]. The picture must lie on the canvas and the
// window in the full result; all sizes are positive.
Image resample(const Image& image, const Canvas& canvas, const Window& window);

// Scales the whole picture to width x height.
Image resize_bicubic(const Image& image, int width, int height);

// The same bilinearly and without smoothing, byte for byte as OpenCV's INTER_LINEAR does it: what
// detectors were trained with. Halving both sides exactly takes means of four, as it does there.
Image resize_linear(const Image& image, int width, int height);

}  // namespace fastvlm
