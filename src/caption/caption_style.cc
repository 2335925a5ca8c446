// SPDX-License-Identifier: Apache-2.0
#include "caption/caption_style.h"

#include <vector>

#include "base/strings.h"
#include "caption/schema.h"
#include "caption/value_text.h"

namespace fastvlm {
namespace {

struct Part {
  std::string title;  // none: what stands before the first header
  std::string text;
};

std::vector<Part> parts_of(const Caption& caption) {
  std::vector<Part> parts;
  if (!caption.provenance.schema.empty() && !caption.sections.empty()) {
    for (const CaptionSection& section : caption.sections) {
      if (section.text) parts.push_back({section.title, *section.text});
    }
    return parts;
  }
  for (const SectionPart& part : split_sections(caption.text)) {
    const std::string_view text =
        std::string_view(caption.text).substr(part.body, part.end - part.body);
    parts.push_back({part.section ? std::string(section_title(*part.section)) : "",
                     std::string(trimmed(text))});
  }
  return parts;
}

// Every run of blanks and line ends is a space.
std::string one_line(std::string_view text) {
  std::string line;
  bool waiting = false;
  for (const char c : trimmed(text)) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank && waiting) line += ' ';
    if (!blank) line += c;
    waiting = blank;
  }
  return line;
}

std::string paragraph(const std::vector<Part>& parts) {
  std::string text;
  for (const Part& part : parts) {
    if (part.text.empty()) continue;
    text += cat(text.empty() ? "" : " ", one_line(part.text));
    if (!part.title.empty() && !ends_sentence(part.text)) text += '.';
  }
  return text;
}

std::string markdown(const std::vector<Part>& parts) {
  std::string text;
  for (const Part& part : parts) {
    const std::string heading = part.title.empty() ? "" : cat("## ", part.title);
    for (const std::string& block : {heading, part.text}) {
      if (!block.empty()) text += cat(text.empty() ? "" : "\n\n", block);
    }
  }
  return text;
}

}  // namespace

std::string in_style(const Caption& caption, CaptionStyle style) {
  switch (style) {
    case CaptionStyle::kParagraph:
      return paragraph(parts_of(caption));
    case CaptionStyle::kMarkdown:
      return markdown(parts_of(caption));
    case CaptionStyle::kText:
      break;
  }
  return caption.text;
}

}  // namespace fastvlm
