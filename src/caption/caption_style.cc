// SPDX-License-Identifier: Apache-2.0
#include "caption/caption_style.h"

#include "base/strings.h"
#include "caption/schema.h"
#include "caption/value_text.h"

namespace fastvlm {
namespace {

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

std::vector<TitledText> parts_of(const Caption& caption) {
  if (caption.provenance.schema.empty() || caption.sections.empty()) {
    return parts_of_answer(caption.text);
  }
  std::vector<TitledText> parts;
  for (const CaptionSection& section : caption.sections) {
    if (section.text) parts.push_back({section.title, *section.text});
  }
  return parts;
}

}  // namespace

std::optional<CaptionStyle> named_style(std::string_view name) {
  if (name == "text") return CaptionStyle::kText;
  if (name == "paragraph") return CaptionStyle::kParagraph;
  if (name == "markdown") return CaptionStyle::kMarkdown;
  return std::nullopt;
}

std::vector<TitledText> parts_of_answer(std::string_view text) {
  std::vector<TitledText> parts;
  for (const SectionPart& part : split_sections(text)) {
    parts.push_back({part.section ? std::string(section_title(*part.section)) : "",
                     std::string(trimmed(text.substr(part.body, part.end - part.body)))});
  }
  return parts;
}

std::string as_paragraph(const std::vector<TitledText>& parts) {
  std::string text;
  for (const TitledText& part : parts) {
    if (part.text.empty()) continue;
    text += cat(text.empty() ? "" : " ", one_line(part.text));
    if (!part.title.empty() && !ends_sentence(part.text)) text += '.';
  }
  return text;
}

std::string as_markdown(const std::vector<TitledText>& parts) {
  std::string text;
  for (const TitledText& part : parts) {
    const std::string heading = part.title.empty() ? "" : cat("## ", part.title);
    for (const std::string& block : {heading, part.text}) {
      if (!block.empty()) text += cat(text.empty() ? "" : "\n\n", block);
    }
  }
  return text;
}

std::vector<TitledText> marked(std::vector<TitledText> parts, const ObjectKinds& unseen) {
  for (TitledText& part : parts) part.text = mark_objects(part.text, {}, unseen);
  return parts;
}

std::string in_style(const Caption& caption, CaptionStyle style, bool marks) {
  const ObjectKinds unseen =
      marks && caption.objects ? caption.objects->unseen_kinds() : ObjectKinds();
  switch (style) {
    case CaptionStyle::kParagraph:
      return as_paragraph(marked(parts_of(caption), unseen));
    case CaptionStyle::kMarkdown:
      return as_markdown(marked(parts_of(caption), unseen));
    case CaptionStyle::kText:
      break;
  }
  return mark_objects(caption.text, bodies_of(caption), unseen);
}

}  // namespace fastvlm
