// SPDX-License-Identifier: Apache-2.0
// A caption as text for people, in one of several forms.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caption/caption.h"

namespace fastvlm {

enum class CaptionStyle {
  kText,       // the answer as it is: numbered sections
  kParagraph,  // what the sections say, on one line without their headers
  kMarkdown,   // a heading and a text for each section
};

std::optional<CaptionStyle> named_style(std::string_view name);  // "text", "paragraph", "markdown"

// Without a line end. An answer without sections keeps its text; nothing of an answer is left out
// but headers. `marks`: behind mentions of what was not seen stands kUnseenMark.
std::string in_style(const Caption& caption, CaptionStyle style, bool marks = false);

// The same for parts that are known.
struct TitledText {
  std::string title;  // empty: what stands before the first header
  std::string text;
};
std::vector<TitledText> parts_of_answer(std::string_view text);  // by the headers found in it
std::vector<TitledText> marked(std::vector<TitledText> parts, const ObjectKinds& unseen);
std::string as_paragraph(const std::vector<TitledText>& parts);
std::string as_markdown(const std::vector<TitledText>& parts);

}  // namespace fastvlm
