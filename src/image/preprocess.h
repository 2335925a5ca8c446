// SPDX-License-Identifier: Apache-2.0
// The contract between a picture and the vision tower (MODEL.md 5.1). A checkpoint states it; a
// tower that gets anything else answers fluently and wrong.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "image/image.h"

namespace fastvlm {

enum class Aspect {
  kPad,   // the whole picture, centred on a square canvas of the background colour
  kCrop,  // the middle square of the picture
};

struct Preprocessing {
  Aspect aspect = Aspect::kPad;
  int size = 1024;  // side of the square that the tower sees, pixels, >= 1
  std::array<uint8_t, 3> background{0, 0, 0};  // of the padding, RGB; int(mean * 255) by convention
  std::array<float, 3> mean{0.0F, 0.0F, 0.0F};  // of values scaled to 0..1, RGB
  std::array<float, 3> std{1.0F, 1.0F, 1.0F};
};

const char* aspect_name(Aspect aspect);  // "pad", "crop"

// One line for people: "pad to 1024x1024 on rgb(0, 0, 0), bicubic, mean [0, 0, 0], std [1, 1, 1]".
std::string describe(const Preprocessing& preprocessing);

// Any picture -> [size, size, 3], equal byte for byte to the reference's.
Image preprocess(const Image& image, const Preprocessing& preprocessing);

// [H, W, 3] u8 -> [H, W, 3] f32: (value * (1/255) - mean) / std, the product in double and then
// rounded to float as the reference does.
std::vector<float> to_floats(const Image& image, const Preprocessing& preprocessing);

}  // namespace fastvlm
