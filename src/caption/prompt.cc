// SPDX-License-Identifier: Apache-2.0
#include "caption/prompt.h"

#include "base/strings.h"

namespace fastvlm {

namespace prompt_texts {  // prompts/*.txt, a generated file
extern const std::string_view kSevenPoint;
extern const std::string_view kDescribe;
extern const std::string_view kNoObjects;
}  // namespace prompt_texts

std::string_view seven_point_prompt() {
  return trimmed(prompt_texts::kSevenPoint);
}
std::string_view describe_prompt() {
  return trimmed(prompt_texts::kDescribe);
}
std::string_view no_objects_prompt() {
  return trimmed(prompt_texts::kNoObjects);
}

std::optional<std::string_view> named_prompt(std::string_view name) {
  if (name == "seven_point") return seven_point_prompt();
  if (name == "describe") return describe_prompt();
  if (name == "no_objects") return no_objects_prompt();
  return std::nullopt;
}

std::string question_text(std::span<const Tag> tags, std::string_view prompt) {
  if (tags.empty()) return std::string(prompt);
  std::string text = "The following objects were detected in the scene with bounding boxes:\n";
  for (const Tag& tag : tags) text += cat("• ", tag_text(tag), "\n");
  return cat(text, "\n", prompt);
}

}  // namespace fastvlm
