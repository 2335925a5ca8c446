// SPDX-License-Identifier: Apache-2.0
// Where boxes stand in a picture and to one another, in words.
#pragma once

#include <string>
#include <string_view>

#include "dataset/instances.h"

namespace fastvlm {

struct Frame {  // of the picture, in pixels
  double width = 0;
  double height = 0;
};

double share_of(const Instance& object, const Frame& frame);  // of the frame's area, 0 to 1
std::string_view share_words(double share);                   // "about a third"

inline constexpr std::string_view kEverywhere = "across most of the frame";

// "in the upper left", "in the center", kEverywhere.
std::string_view position_words(const Instance& object, const Frame& frame);

// How `object` stands to `other`, to follow "is": "to the left of the dog". Both names come with
// their articles.
std::string relation_words(const Instance& object, const Instance& other,
                           const std::string& other_name, const Frame& frame);

}  // namespace fastvlm
