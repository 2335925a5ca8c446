// SPDX-License-Identifier: Apache-2.0
// A caption as text for people, in one of several forms.
#pragma once

#include <string>

#include "caption/caption.h"

namespace fastvlm {

enum class CaptionStyle {
  kText,       // the answer as it is: numbered sections
  kParagraph,  // what the sections say, on one line without their headers
  kMarkdown,   // a heading and a text for each section
};

// Without a line end. An answer without sections keeps its text; nothing of an answer is left out
// but headers.
std::string in_style(const Caption& caption, CaptionStyle style);

}  // namespace fastvlm
