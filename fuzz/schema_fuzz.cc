// SPDX-License-Identifier: Apache-2.0
// Any answer through the parser of the seven points (its parts cover the text from end to end), and
// any text as tags, as a schema file, and as a value under a header.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "caption/caption_schema.h"
#include "caption/json_shape.h"
#include "caption/schema.h"
#include "caption/tags.h"
#include "caption/value_text.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  size_t at = 0;
  for (const fastvlm::SectionPart& part : fastvlm::split_sections(text)) {
    if (part.begin != at || part.body < part.begin || part.end < part.body) std::abort();
    at = part.end;
  }
  if (at != size) std::abort();
  (void)fastvlm::parse_sections(text);
  (void)fastvlm::parse_tags_file(text, "fuzzed", 640);
  (void)fastvlm::parse_tag_list(text);
  for (const bool complete : {false, true}) {
    const auto foreign = fastvlm::foreign_header(fastvlm::seven_point_schema(), 2, text, complete);
    if (foreign && *foreign > size) std::abort();
  }
  const std::string_view halves[] = {text.substr(0, size / 2), text.substr(size / 2)};
  if (fastvlm::clean_length(halves) > 2) std::abort();
  (void)fastvlm::parse_json_schema(text, "fuzzed");
  const auto schema = fastvlm::parse_caption_schema(text, "fuzzed");
  if (schema.ok()) {
    if (schema->sections.empty()) std::abort();
    (void)fastvlm::schema_prompt(*schema);
    (void)fastvlm::foreign_header(*schema, 0, text, true);
  }
  return 0;
}
