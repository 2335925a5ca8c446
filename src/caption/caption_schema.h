// SPDX-License-Identifier: Apache-2.0
// What a caption is made of: named sections in their order, under headers that the decoder writes
// (section_guide.h). The seven points are one such schema; a user's own is a JSON file of the same
// form (docs/FORMATS.md, prompts/seven_point.json). Non-goals: finding sections in free answers
// (schema.h), general JSON (json_guide.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct SectionSpec {
  std::string key;                    // "main_focus": the name in JSON
  std::string title;                  // "Main Focus": the name in prompts and answers
  std::string instruction;            // "What is …?"; may be empty
  std::optional<int64_t> max_tokens;  // of the value; none: what the answer's length leaves
  std::vector<std::string> choices;   // the value is one of them; empty: any text
};

struct CaptionSchema {
  std::string name;          // of its file, without path and ending
  std::string sha256;        // of the file's text
  std::string introduction;  // stands before the list of sections in the prompt
  std::vector<SectionSpec> sections;
  std::string closing;  // stands behind it
};

// The seven points.
const CaptionSchema& seven_point_schema();

// Reads the text of a schema file. `file` is its name in messages and gives the schema its name.
// kInvalid names the file, the key ("sections[2].title"), what was expected and what was found.
Result<CaptionSchema> parse_caption_schema(std::string_view text, const std::string& file);

// What to ask the model with: introduction, one numbered line a section, closing. For the seven
// points this is seven_point_prompt().
std::string schema_prompt(const CaptionSchema& schema);

// "3. Spatial Relationships –", as the model was trained to write it; a value follows behind a
// space. `index` counts from 0.
std::string section_header(const CaptionSchema& schema, size_t index);

// Where in `value`, the text under a header of section `index`, something stands that a reader
// would take for another header. `complete`: nothing follows the value but a line end; else what is
// still undecided is none.
std::optional<size_t> foreign_header(const CaptionSchema& schema, size_t index,
                                     std::string_view value, bool complete);

}  // namespace fastvlm
