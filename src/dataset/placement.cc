// SPDX-License-Identifier: Apache-2.0
#include "dataset/placement.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "base/strings.h"

namespace fastvlm {
namespace {

using Names = std::set<std::string, std::less<>>;

// What small things lie on when they are seen within it.
const Names kSupports = {"dining table", "bed", "couch", "bench"};
const Names kSmallThings = {"food", "kitchen", "electronic", "indoor", "accessory"};
// What may be high in a picture without being far away.
const Names kHigh = {"bird", "kite", "airplane", "traffic light", "clock", "umbrella"};

double center_x(const Instance& object) {
  return object.x + object.width / 2;
}
double center_y(const Instance& object) {
  return object.y + object.height / 2;
}
double bottom(const Instance& object) {
  return object.y + object.height;
}
double box_area(const Instance& object) {
  return object.width * object.height;
}

// The part of `object`'s box that lies within `other`'s.
double part_within(const Instance& object, const Instance& other) {
  const double width =
      std::min(object.x + object.width, other.x + other.width) - std::max(object.x, other.x);
  const double height = std::min(bottom(object), bottom(other)) - std::max(object.y, other.y);
  return width > 0 && height > 0 ? width * height / std::max(1.0, box_area(object)) : 0;
}

enum class Depth { kAlike, kBehind, kInFront };

// What sizes and lower edges tell of the distance of two things on one ground.
Depth depth_of(const Instance& object, const Instance& other, const Frame& frame) {
  const auto tells = [](const Instance& one) {
    return !kHigh.contains(one.kind) && !kSmallThings.contains(one.group);
  };
  if (!tells(object) || !tells(other)) return Depth::kAlike;
  const double lower = (bottom(object) - bottom(other)) / frame.height;
  if (box_area(object) * 4 < box_area(other) && lower < -0.08) return Depth::kBehind;
  if (box_area(object) > box_area(other) * 4 && lower > 0.08) return Depth::kInFront;
  return Depth::kAlike;
}

bool lies_on(const Instance& object, const Instance& other) {
  return part_within(object, other) > 0.7 && kSupports.contains(other.kind) &&
         kSmallThings.contains(object.group);
}

bool lies_in(const Instance& object, const Instance& other) {
  return part_within(object, other) > 0.7 && other.kind == "bowl" && object.group == "food";
}

}  // namespace

double share_of(const Instance& object, const Frame& frame) {
  return std::clamp(box_area(object) / std::max(1.0, frame.width * frame.height), 0.0, 1.0);
}

std::string_view share_words(double share) {
  struct Step {
    double least;
    std::string_view words;
  };
  constexpr std::array<Step, 7> kSteps = {{{0.7, "most"},
                                           {0.45, "about half"},
                                           {0.29, "about a third"},
                                           {0.19, "about a quarter"},
                                           {0.08, "a good part"},
                                           {0.02, "a small part"},
                                           {0, "a tiny part"}}};
  return std::find_if(kSteps.begin(), kSteps.end(),
                      [share](const Step& step) { return share >= step.least; })
      ->words;
}

std::string_view position_words(const Instance& object, const Frame& frame) {
  constexpr std::string_view kCells[3][3] = {
      {"in the upper left", "at the top", "in the upper right"},
      {"on the left", "in the center", "on the right"},
      {"in the lower left", "at the bottom", "in the lower right"}};
  if (object.width > 0.8 * frame.width && object.height > 0.7 * frame.height) {
    return kEverywhere;
  }
  const auto third = [](double at, double size) {
    return static_cast<size_t>(std::clamp(3 * at / std::max(1.0, size), 0.0, 2.0));
  };
  return kCells[third(center_y(object), frame.height)][third(center_x(object), frame.width)];
}

std::string relation_words(const Instance& object, const Instance& other,
                           const std::string& other_name, const Frame& frame) {
  if (lies_on(object, other)) return cat("on ", other_name);
  if (lies_on(other, object)) return cat("under ", other_name);
  if (lies_in(object, other)) return cat("in ", other_name);
  const double right = (center_x(object) - center_x(other)) / std::max(1.0, frame.width);
  const double below = (center_y(object) - center_y(other)) / std::max(1.0, frame.height);
  const Depth depth = depth_of(object, other, frame);
  if (part_within(object, other) > 0.6) return cat("right by ", other_name);
  if (std::abs(right) < 0.08 && std::abs(below) < 0.08) return cat("close to ", other_name);
  if (std::abs(right) >= std::abs(below)) {
    return cat(right < 0 ? "to the left of " : "to the right of ", other_name,
               depth == Depth::kBehind    ? ", farther back"
               : depth == Depth::kInFront ? ", closer to the camera"
                                          : "");
  }
  if (depth == Depth::kBehind) return cat("behind ", other_name);
  if (depth == Depth::kInFront) return cat("in front of ", other_name);
  return cat(below < 0 ? "above " : "below ", other_name);
}

}  // namespace fastvlm
