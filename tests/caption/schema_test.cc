// SPDX-License-Identifier: Apache-2.0
// Answers as models write them, each with the sections that a reader sees in it.
#include "caption/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <vector>

namespace fastvlm {
namespace {

using Expected = std::map<std::string, std::string>;

Expected sections_of(std::string_view answer) {
  Expected found;
  const Sections sections = parse_sections(answer);
  for (const Section section : kAllSections) {
    const auto& text = sections[static_cast<size_t>(section)];
    if (text) found.emplace(section_key(section), *text);
  }
  return found;
}

const Expected kAllSeven = {{"main_focus", "A dog."},     {"surroundings", "A tree."},
                            {"spatial", "Left of it."},   {"activities", "It sleeps."},
                            {"scene", "A park at noon."}, {"inferences", "It ran before."},
                            {"style", "Bright and calm."}};
constexpr const char* kBodies[] = {"A dog.",          "A tree.",         "Left of it.",
                                   "It sleeps.",      "A park at noon.", "It ran before.",
                                   "Bright and calm."};

// An answer of seven sections, each `before` NUMBER `between` TITLE `after` BODY `end`; "#" in
// `before` or `between` stands for the number.
std::string answer_in_style(const std::string& before, const std::string& after,
                            const std::string& end) {
  std::string answer;
  for (const Section section : kAllSections) {
    std::string opening = before;
    const auto index = static_cast<size_t>(section);
    if (const size_t at = opening.find('%'); at != std::string::npos) {
      opening.replace(at, 1, std::to_string(index + 1));
    }
    answer += opening + std::string(section_title(section)) + after + kBodies[index] + end;
  }
  return answer;
}

struct Style {
  const char* before;
  const char* after;
  const char* end;
};

class EveryStyle : public testing::TestWithParam<Style> {};

TEST_P(EveryStyle, GivesTheSameSections) {
  const std::string answer = answer_in_style(GetParam().before, GetParam().after, GetParam().end);
  EXPECT_EQ(sections_of(answer), kAllSeven) << answer;
  EXPECT_EQ(sections_of("Here is the description:\n\n" + answer), kAllSeven) << answer;
}

INSTANTIATE_TEST_SUITE_P(
    Schema, EveryStyle,
    testing::Values(
        Style{"%. ", " – ", "\n"}, Style{"%. ", " - ", "\n"}, Style{"%. ", " — ", "\n\n"},
        Style{"%. ", ": ", "\n"}, Style{"%. ", "\n", "\n"}, Style{"%. ", ":\n", "\n\n"},
        Style{"%. ", " ", "\n"}, Style{"%) ", ": ", "\n"}, Style{"(%) ", " – ", "\n"},
        Style{"%.", " – ", "\n"}, Style{"% – ", ": ", "\n"}, Style{"%\uFE0F\u20E3 ", ": ", "\n"},
        Style{"**%. ", "**: ", "\n"}, Style{"**%. ", ":** ", "\n"}, Style{"**%. ", "** – ", "\n"},
        Style{"**%. ", "**\n", "\n\n"}, Style{"%. **", "** – ", "\n"}, Style{"%. **", ":** ", "\n"},
        Style{"%. **", "**: ", "\n"}, Style{"**%.** **", "**: ", "\n"},
        Style{"**%.** ", ": ", "\n"}, Style{"### ", "\n", "\n\n"}, Style{"## %. ", "\n", "\n"},
        Style{"### **%. ", "**\n", "\n"}, Style{"### **", ":**\n", "\n"}, Style{"**", "**: ", "\n"},
        Style{"**", ":** ", "\n"}, Style{"**", "** ", "\n"}, Style{"*", "*: ", "\n"},
        Style{"__", "__: ", "\n"}, Style{"", ": ", "\n"}, Style{"", " – ", "\n"},
        Style{"", "\n", "\n\n"}, Style{"- ", ": ", "\n"}, Style{"* **", "**: ", "\n"},
        Style{"• ", ": ", "\n"}, Style{"- **%. ", "**: ", "\n"}, Style{"> ", ": ", "\n"},
        Style{"  %. ", " – ", "\r\n"}, Style{"\n---\n\n### ", "\n\n", "\n"},
        Style{"%. ", " – ", " "}, Style{"**%. ", "**: ", " "}, Style{"%. ", ": ", " "},
        Style{"**", ":** ", " "}));

struct Answer {
  const char* name;
  const char* text;
  Expected sections;
};

class RealAnswer : public testing::TestWithParam<Answer> {};

TEST_P(RealAnswer, IsReadAsAPersonWould) {
  EXPECT_EQ(sections_of(GetParam().text), GetParam().sections);
}

INSTANTIATE_TEST_SUITE_P(
    Schema, RealAnswer,
    testing::Values(
        Answer{"Empty", "", {}}, Answer{"Blank", " \n\n ", {}},
        Answer{"PlainSentence", "The image shows a dog in a park.", {}},
        Answer{"NameInSentence",
               "The main focus of the image is a dog.\nMain Focus of the picture is its face. Its "
               "style: bright.",
               {}},
        Answer{"NumberedSentence",
               "1. Main Focus of the image is a dog.",
               {{"main_focus", "Main Focus of the image is a dog."}}},
        Answer{"NameInsideASection",
               "1. Main Focus – A sign that says Scene Type & Time: today. Its **Main Focus** is a "
               "word.\n"
               "2. Surrounding Objects & Context – None, see 3. Spatial order.",
               {{"main_focus",
                 "A sign that says Scene Type & Time: today. Its **Main Focus** is a word."},
                {"surroundings", "None, see 3. Spatial order."}}},
        Answer{"Missing",
               "1. Main Focus – A dog.\n4. Activities & Interactions – It runs.",
               {{"main_focus", "A dog."}, {"activities", "It runs."}}},
        Answer{"MissingAndRenumbered",
               "1. Main Focus – A dog.\n2. Spatial Relationships – Left.\n3. Style & Aesthetic – "
               "Warm.",
               {{"main_focus", "A dog."}, {"spatial", "Left."}, {"style", "Warm."}}},
        Answer{"Swapped",
               "7. Style & Aesthetic – Warm.\n1. Main Focus – A dog.",
               {{"main_focus", "A dog."}, {"style", "Warm."}}},
        Answer{"Repeated",
               "1. Main Focus – A dog.\n3. Spatial Relationships – Left.\n1. Main Focus – A cat.",
               {{"main_focus", "A dog.\nA cat."}, {"spatial", "Left."}}},
        Answer{"RepeatedEmpty",
               "Main Focus:\nMain Focus: A dog.\nMain Focus:",
               {{"main_focus", "A dog."}}},
        Answer{"CutInBody",
               "1. Main Focus – A dog.\n2. Surrounding Objects & Context – A tr",
               {{"main_focus", "A dog."}, {"surroundings", "A tr"}}},
        Answer{"CutAfterHeader",
               "1. Main Focus – A dog.\n2. Surrounding Objects & Context –",
               {{"main_focus", "A dog."}, {"surroundings", ""}}},
        Answer{"CutInHeader",
               "1. Main Focus – A dog.\n2. Surrounding Obj",
               {{"main_focus", "A dog.\n2. Surrounding Obj"}}},
        Answer{"AndForAmpersand",
               "2. Surrounding Objects and Context: A tree.\n5. SCENE TYPE AND TIME: Noon.",
               {{"surroundings", "A tree."}, {"scene", "Noon."}}},
        Answer{
            "ShortNames",
            "1. Focus: A dog.\n2. **Surroundings**: A tree.\n### Spatial\nLeft.\n**Style:** Warm.",
            {{"main_focus", "A dog."},
             {"surroundings", "A tree."},
             {"spatial", "Left."},
             {"style", "Warm."}}},
        Answer{"LabelsUnderASection",
               "5. Scene Type & Time\n- **Scene Type:** Kitchen\n- **Time:** Noon",
               {{"scene", "- **Scene Type:** Kitchen\n- **Time:** Noon"}}},
        Answer{"BulletsUnderASection",
               "**Surrounding Objects & Context**\n- A tree\n- Style: none\n* Grass\n1. A path",
               {{"surroundings", "- A tree\n- Style: none\n* Grass\n1. A path"}}},
        Answer{"ColonAndDashInBody",
               "1. Main Focus – A clock – 12:30: noon",
               {{"main_focus", "A clock – 12:30: noon"}}},
        Answer{"RuleBetween",
               "### Main Focus\nA dog.\n\n---\n\n### Style & Aesthetic\nWarm.\n\n---",
               {{"main_focus", "A dog."}, {"style", "Warm.\n\n---"}}},
        Answer{"NumbersAlone",
               "1. A dog.\n2. A tree.\n3. Left of it.\n4. It sleeps.\n5. A park at noon.\n6. It "
               "ran before.\n"
               "7. Bright and calm.",
               kAllSeven},
        Answer{"NumbersAloneCut", "1. A dog.\n2. A tree.\n3. Left of it.", {}},
        Answer{"NumbersAloneRestart", "1. A\n2. B\n3. C\n4. D\n5. E\n6. F\n7. G\n1. H", {}},
        Answer{"FullWidthColon", "1. Main Focus：A dog.", {{"main_focus", "A dog."}}},
        Answer{"TextBefore",
               "Sure! Here it is.\n\n1. Main Focus – A dog.",
               {{"main_focus", "A dog."}}}),
    [](const auto& answer) { return answer.param.name; });

TEST(Schema, KeysAndTitlesAreFixed) {
  std::vector<std::string> keys;
  for (const Section section : kAllSections) keys.emplace_back(section_key(section));
  EXPECT_THAT(keys, testing::ElementsAre("main_focus", "surroundings", "spatial", "activities",
                                         "scene", "inferences", "style"));
  EXPECT_EQ(section_title(Section::kSurroundings), "Surrounding Objects & Context");
}

// The parts cover the answer, in order, without a gap, and only headers leave the bodies.
void expect_nothing_lost(std::string_view text) {
  size_t at = 0;
  for (const SectionPart& part : split_sections(text)) {
    ASSERT_EQ(part.begin, at);
    ASSERT_LE(part.begin, part.body);
    ASSERT_LE(part.body, part.end);
    ASSERT_TRUE(part.section.has_value() || part.body == part.begin);
    at = part.end;
  }
  ASSERT_EQ(at, text.size());
}

TEST(Schema, NeverLosesText) {
  for (const Style& style : {Style{"%. ", " – ", "\n"}, Style{"\n---\n### **", "**\n", " "}}) {
    expect_nothing_lost(answer_in_style(style.before, style.after, style.end));
  }
  std::mt19937 random(7);
  const std::vector<std::string> pieces = {"1",    "7",   ".",    ")",          "**",
                                           "*",    "\n",  " ",    "#",          "- ",
                                           ":",    "–",   "---",  "Main Focus", "Style & Aesthetic",
                                           "Time", "dog", "\xE2", "\xEF\xBC"};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    const auto count = random() % 24;
    for (unsigned i = 0; i < count; ++i) text += pieces[random() % pieces.size()];
    ASSERT_NO_FATAL_FAILURE(expect_nothing_lost(text)) << text;
  }
  for (int round = 0; round < 5000; ++round) {
    std::string bytes(random() % 200, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    ASSERT_NO_FATAL_FAILURE(expect_nothing_lost(bytes));
  }
}

TEST(Schema, LongHostileAnswersTakeLinearTime) {
  for (const char* piece :
       {"*** ", "1. ", "> ", "# ", "\n---\n", "(1", "** 1. ** ", "Main Focus", "\n"}) {
    std::string text;
    while (text.size() < size_t{1} << 20) text += piece;
    expect_nothing_lost(text);
  }
}

}  // namespace
}  // namespace fastvlm
