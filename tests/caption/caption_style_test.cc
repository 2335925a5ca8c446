// SPDX-License-Identifier: Apache-2.0
#include "caption/caption_style.h"

#include <gtest/gtest.h>

namespace fastvlm {
namespace {

Caption guided() {
  Caption caption;
  caption.text = "1. Main Focus – A cat.\n2. Mood – calm";
  caption.sections = {{"main_focus", "Main Focus", "A cat.\nIt  sits.", FinishReason::kStop},
                      {"mood", "Mood", "calm", FinishReason::kStop},
                      {"rest", "Rest", std::nullopt, std::nullopt}};
  caption.provenance.schema = "my";
  return caption;
}

TEST(CaptionStyle, OfSections) {
  EXPECT_EQ(in_style(guided(), CaptionStyle::kText), "1. Main Focus – A cat.\n2. Mood – calm");
  EXPECT_EQ(in_style(guided(), CaptionStyle::kParagraph), "A cat. It sits. calm.");
  EXPECT_EQ(in_style(guided(), CaptionStyle::kMarkdown),
            "## Main Focus\n\nA cat.\nIt  sits.\n\n## Mood\n\ncalm");
}

TEST(CaptionStyle, OfAFreeAnswer) {
  Caption caption;
  caption.text = "Here it is:\n**1. Main Focus**: A cat\n7. Style – Bright!\n";
  EXPECT_EQ(in_style(caption, CaptionStyle::kParagraph), "Here it is: A cat. Bright!");
  EXPECT_EQ(in_style(caption, CaptionStyle::kMarkdown),
            "Here it is:\n\n## Main Focus\n\nA cat\n\n## Style & Aesthetic\n\nBright!");
  caption.text = "A cat\non a mat";
  EXPECT_EQ(in_style(caption, CaptionStyle::kParagraph), "A cat on a mat");
  EXPECT_EQ(in_style(caption, CaptionStyle::kMarkdown), "A cat\non a mat");
}

}  // namespace
}  // namespace fastvlm
