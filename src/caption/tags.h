// SPDX-License-Identifier: Apache-2.0
// Object tags: hints about what a detector saw, written into the prompt. They come from a list that
// a person typed, from a file of lines, or from a JSON file of detections.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct Tag {
  std::string label;                // "person"; one line, not empty
  std::string position;             // "left", "center", "right"; empty when nobody knows
  std::optional<float> confidence;  // 0..1
  int count = 1;                    // objects that the tag stands for
};

// "person (left)", or "person" without a position; "person (left) x3" where it stands for three.
std::string tag_text(const Tag& tag);

// The third of a frame `width` pixels wide in which a box centre at `center_x` lies.
std::string_view horizontal_third(double center_x, double width);

// "person (left)", "• person (left)", "dog".
Result<Tag> parse_tag(std::string_view text);

// "person (left), dog"
Result<std::vector<Tag>> parse_tag_list(std::string_view text);

// The contents of a tags file: one tag a line, or JSON: a list of objects with `label` and
// optionally `box_xyxy` (pixels of the upright image) and `confidence`, or an object that holds
// such a list as `objects`, `detections` or `tags`. They come back in falling confidence. `width`
// is the image's; `name` stands in messages.
Result<std::vector<Tag>> parse_tags_file(std::string_view text, const std::string& name, int width);

}  // namespace fastvlm
