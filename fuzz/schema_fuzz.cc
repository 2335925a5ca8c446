// SPDX-License-Identifier: Apache-2.0
// Any answer through the parser of the seven points: its parts cover the text from end to end.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "caption/schema.h"
#include "caption/tags.h"

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
  return 0;
}
