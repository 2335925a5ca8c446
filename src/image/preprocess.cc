// SPDX-License-Identifier: Apache-2.0
#include "image/preprocess.h"

#include <algorithm>

#include "base/strings.h"
#include "image/resize.h"

namespace fastvlm {
namespace {

// The square canvas as wide as the longer side, scaled to size x size.
Image padded(const Image& image, const Preprocessing& preprocessing) {
  const int side = std::max(image.width, image.height);
  const int size = preprocessing.size;
  const Canvas canvas = {side, side, (side - image.width) / 2, (side - image.height) / 2,
                         preprocessing.background};
  return resample(image, canvas, {size, size, 0, 0, size, size});
}

// The shorter side scaled to `size`, and the middle of the longer one.
Image cropped(const Image& image, int size) {
  const auto scaled = [&](int side) {
    const int64_t shorter = std::min(image.width, image.height);
    return static_cast<int>(int64_t{size} * side / shorter);
  };
  const int width = scaled(image.width);
  const int height = scaled(image.height);
  return resample(image, {image.width, image.height, 0, 0, {}},
                  {width, height, (width - size) / 2, (height - size) / 2, size, size});
}

}  // namespace

const char* aspect_name(Aspect aspect) {
  return aspect == Aspect::kPad ? "pad" : "crop";
}

std::string describe(const Preprocessing& preprocessing) {
  const auto& colour = preprocessing.background;
  const std::string fit =
      preprocessing.aspect == Aspect::kPad
          ? cat("pad to ", preprocessing.size, "x", preprocessing.size, " on rgb(", int{colour[0]},
                ", ", int{colour[1]}, ", ", int{colour[2]}, ")")
          : cat("crop to ", preprocessing.size, "x", preprocessing.size);
  return cat(fit, ", bicubic, mean ", bracketed(preprocessing.mean), ", std ",
             bracketed(preprocessing.std));
}

Image preprocess(const Image& image, const Preprocessing& preprocessing) {
  return preprocessing.aspect == Aspect::kPad ? padded(image, preprocessing)
                                              : cropped(image, preprocessing.size);
}

std::vector<float> to_floats(const Image& image, const Preprocessing& preprocessing) {
  std::array<std::array<float, 256>, 3> table;
  for (size_t c = 0; c < 3; ++c) {
    for (size_t value = 0; value < 256; ++value) {
      const auto scaled = static_cast<float>(static_cast<double>(value) * 0.00392156862745098);
      table[c][value] = (scaled - preprocessing.mean[c]) / preprocessing.std[c];
    }
  }
  std::vector<float> floats(image.rgb.size());
  for (size_t i = 0; i < floats.size(); ++i) floats[i] = table[i % 3][image.rgb[i]];
  return floats;
}

}  // namespace fastvlm
