// SPDX-License-Identifier: Apache-2.0
#include "image/draw.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

namespace fastvlm {
namespace {

// Half-open, in whole pixels.
struct Area {
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;

  int width() const { return right - left; }
  int height() const { return bottom - top; }
};

int64_t overlap(const Area& a, const Area& b) {
  const int width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const int height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  return width > 0 && height > 0 ? int64_t{width} * height : 0;
}

void fill(Image& image, const Area& area, Rgb color) {
  for (int y = std::max(0, area.top); y < std::min(image.height, area.bottom); ++y) {
    uint8_t* row = image.row(y);
    for (int x = std::max(0, area.left); x < std::min(image.width, area.right); ++x) {
      std::copy(color.begin(), color.end(), row + 3 * x);
    }
  }
}

// An edge in whole pixels, on the picture even where the box is not.
int edge(double value, int side) {
  return std::isfinite(value) ? static_cast<int>(std::lround(std::clamp(value, 0.0, 1.0 * side)))
                              : 0;
}

Area area_of(const LabelledBox& box, const Image& image) {
  Area area{edge(box.left, image.width), edge(box.top, image.height), edge(box.right, image.width),
            edge(box.bottom, image.height)};
  area.right = std::max(area.right, area.left);
  area.bottom = std::max(area.bottom, area.top);
  return area;
}

// The frame lies inside of the box, so that it is seen whole at the edge of a picture.
void draw_frame(Image& image, const Area& box, int line, Rgb color) {
  const int side = std::min(line, std::max(1, box.width() / 2));
  const int level = std::min(line, std::max(1, box.height() / 2));
  fill(image, {box.left, box.top, box.right, box.top + level}, color);
  fill(image, {box.left, box.bottom - level, box.right, box.bottom}, color);
  fill(image, {box.left, box.top, box.left + side, box.bottom}, color);
  fill(image, {box.right - side, box.top, box.right, box.bottom}, color);
}

// Relative luminance by the sRGB weights, 0..255.
double luminance(Rgb color) {
  return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2];
}

// Where a label of this size goes: on the box's upper edge if it can, else at another corner, else
// wherever it hides the least of the labels that are there.
Area place(const Area& box, int width, int height, const Image& image,
           const std::vector<Area>& taken) {
  const std::array<std::array<int, 2>, 8> corners = {{{box.left, box.top - height},
                                                      {box.left, box.top},
                                                      {box.right - width, box.top - height},
                                                      {box.left, box.bottom},
                                                      {box.left, box.bottom - height},
                                                      {box.right - width, box.top},
                                                      {box.right - width, box.bottom},
                                                      {box.right - width, box.bottom - height}}};
  Area best;
  int64_t least = INT64_MAX;
  const auto consider = [&](int left, int top) {
    left = std::clamp(left, 0, std::max(0, image.width - width));
    top = std::clamp(top, 0, std::max(0, image.height - height));
    const Area area{left, top, left + width, top + height};
    int64_t hidden = 0;
    for (const Area& other : taken) hidden += overlap(area, other);
    if (hidden < least) {
      least = hidden;
      best = area;
    }
  };
  for (const auto& corner : corners) {
    // A label above the picture is pushed onto its own box; the corner inside says so better.
    if (corner[1] >= 0 || &corner == &corners[1]) consider(corner[0], corner[1]);
    if (least == 0) return best;
  }
  for (int top = box.top + height; top < box.bottom - height && least > 0; top += height) {
    consider(box.left, top);
  }
  return best;
}

}  // namespace

Rgb class_color(int number) {
  // Steps of the golden ratio keep hues apart; every third number is pale, every third dark.
  const double turns = 0.02 + 0.61803398875 * number;
  const double hue = 6 * (turns - std::floor(turns));
  constexpr std::array<std::array<double, 2>, 3> kShades = {{{0.85, 1.0}, {0.55, 1.0}, {0.9, 0.7}}};
  const auto [saturation, value] = kShades[static_cast<size_t>(number) % 3];
  Rgb color{};
  for (size_t c = 0; c < 3; ++c) {
    // HSV: channel c is at its height within one sixth of a turn of c / 3.
    double distance = std::abs(hue - 2.0 * static_cast<double>(c));
    distance = std::min(distance, 6 - distance);
    const double share = std::clamp(2 - distance, 0.0, 1.0);
    color[c] = static_cast<uint8_t>(std::lround(255 * value * (1 - saturation * (1 - share))));
  }
  return color;
}

void draw_boxes(Image& image, std::span<const LabelledBox> boxes) {
  const double side = 0.5 * (image.width + image.height);
  const int line = std::max(2, static_cast<int>(std::lround(0.0035 * side)));
  const Lettering& letters = Lettering::of_size(0.026 * side);
  const int margin = std::max(2, letters.height() / 6);
  for (size_t i = boxes.size(); i-- > 0;) {
    draw_frame(image, area_of(boxes[i], image), line, class_color(boxes[i].color));
  }
  std::vector<Area> taken;
  for (const LabelledBox& box : boxes) {
    if (box.label.empty()) continue;
    const int width = letters.width(box.label) + 2 * margin;
    taken.push_back(place(area_of(box, image), width, letters.height(), image, taken));
  }
  // The labels in front are drawn last, like the boxes.
  size_t next = taken.size();
  for (size_t i = boxes.size(); i-- > 0;) {
    if (boxes[i].label.empty()) continue;
    const Area& area = taken[--next];
    const Rgb color = class_color(boxes[i].color);
    const Rgb ink = luminance(color) > 120 ? Rgb{0, 0, 0} : Rgb{255, 255, 255};
    fill(image, area, color);
    letters.draw(image, area.left + margin, area.top, boxes[i].label, ink);
  }
}

}  // namespace fastvlm
