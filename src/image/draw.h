// SPDX-License-Identifier: Apache-2.0
// Boxes and labels on a picture, for people to look at. Goals: readable on any picture, the same
// colour for the same class everywhere, labels inside the picture and, where there is room, beside
// each other. Non-goals: masks, transparency.
#pragma once

#include <span>
#include <string>

#include "image/image.h"
#include "image/lettering.h"

namespace fastvlm {

struct LabelledBox {
  double left = 0;  // pixels; right and bottom are the far edges
  double top = 0;
  double right = 0;
  double bottom = 0;
  std::string label;  // UTF-8; empty: no label
  int color = 0;      // any number >= 0, usually the class id
};

// A colour that differs from those of nearby numbers in hue or lightness.
Rgb class_color(int number);

// Draws the boxes, those at the front of the list on top. Lines and letters grow with the picture:
// 2 pixels and 14 pixels for 640x480.
void draw_boxes(Image& image, std::span<const LabelledBox> boxes);

}  // namespace fastvlm
