// SPDX-License-Identifier: Apache-2.0
// What the model is asked: the texts of prompts/ and the tag lines that may stand before them.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "caption/tags.h"

namespace fastvlm {

// The prompt that the captions model was trained with; the default.
std::string_view seven_point_prompt();
// "Describe the image."
std::string_view describe_prompt();
// What the author's app sends in place of everything when its detector finds nothing.
std::string_view no_objects_prompt();
// By the name of its file: "seven_point", "describe", "no_objects".
std::optional<std::string_view> named_prompt(std::string_view name);

// The user's turn: the tag block and an empty line when there are tags, then the prompt.
//   The following objects were detected in the scene with bounding boxes:
//   • person (left)
std::string question_text(std::span<const Tag> tags, std::string_view prompt);

}  // namespace fastvlm
