// SPDX-License-Identifier: Apache-2.0
#include "caption/detected_tags.h"

#include <algorithm>

namespace fastvlm {

std::vector<Tag> tags_of(const std::vector<Detection>& detections, int width, bool counts) {
  std::vector<Tag> tags;
  for (const Detection& detection : detections) {
    const double center = (double{detection.box.x0} + double{detection.box.x1}) / 2;
    Tag tag;
    tag.label = detection.label;
    tag.position = horizontal_third(center, width);
    tag.confidence = detection.confidence;
    const auto same = std::find_if(tags.begin(), tags.end(), [&](const Tag& other) {
      return other.label == tag.label && other.position == tag.position;
    });
    if (counts && same != tags.end()) {
      ++same->count;
    } else {
      tags.push_back(std::move(tag));
    }
  }
  return tags;
}

}  // namespace fastvlm
