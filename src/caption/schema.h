// SPDX-License-Identifier: Apache-2.0
// The seven points of a caption and the parser that finds them in an answer. Goals: sections are
// found the way models really write them (`1. Main Focus –`, `**1. Main Focus**:`, `### Main
// Focus`, on one line or on many, renumbered, repeated, swapped, missing), ordinary sentences that
// mention a name are left alone, and no character of an answer is lost. Non-goals: judging a
// caption, streaming.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fastvlm {

enum class Section {
  kMainFocus,
  kSurroundings,
  kSpatial,
  kActivities,
  kScene,
  kInferences,
  kStyle,
};

inline constexpr size_t kSectionCount = 7;
inline constexpr std::array<Section, kSectionCount> kAllSections = {
    Section::kMainFocus, Section::kSurroundings, Section::kSpatial, Section::kActivities,
    Section::kScene,     Section::kInferences,   Section::kStyle};

std::string_view section_key(Section section);    // "main_focus": the name in JSON
std::string_view section_title(Section section);  // "Main Focus": the name in prompts and answers

// A stretch of an answer: its header text[begin, body) and what stands under it text[body, end).
// The first part has no section and an empty header when the answer starts with something else.
struct SectionPart {
  std::optional<Section> section;
  size_t begin = 0;
  size_t body = 0;
  size_t end = 0;
};

// The parts of `text` in order; together they cover it from the first to the last byte.
std::vector<SectionPart> split_sections(std::string_view text);

// The bodies by section, trimmed; those of a section that comes twice are joined by a line end. A
// section without a header is nullopt, one whose header has nothing under it an empty string. What
// stands before the first header is in no section.
using Sections = std::array<std::optional<std::string>, kSectionCount>;
Sections parse_sections(std::string_view text);

}  // namespace fastvlm
