// SPDX-License-Identifier: Apache-2.0
// Object tags from a detector's findings.
#pragma once

#include <vector>

#include "caption/tags.h"
#include "detect/detector.h"

namespace fastvlm {

// One tag a detection in its order (falling confidence), at the third of the picture, `width`
// pixels wide and upright, in which the box's centre lies. `counts`: those of one label and third
// become one tag with their number, where and as confident as the first of them.
std::vector<Tag> tags_of(const std::vector<Detection>& detections, int width, bool counts);

}  // namespace fastvlm
