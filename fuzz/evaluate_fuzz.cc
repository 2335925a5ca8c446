// SPDX-License-Identifier: Apache-2.0
// Any text through the tokenizer, METEOR's normaliser, the readers of captions and the searchers of
// objects: a line in is a line out, and nothing is read past the end.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "caption/objects.h"
#include "dataset/caption_files.h"
#include "evaluate/meteor_normalizer.h"
#include "evaluate/ptb_tokenizer.h"
#include "evaluate/rubric.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<std::string> captions = fastvlm::split(text, '\n');
  const std::vector<std::string> tokens = fastvlm::tokenize_captions(captions);
  if (tokens.size() != captions.size()) std::abort();
  for (const std::string& line : tokens) (void)fastvlm::meteor_words(line);
  (void)fastvlm::parse_captions(text, "fuzzed");
  (void)fastvlm::ObjectNames::coco().mentions(fastvlm::object_words(text));
  (void)fastvlm::ObjectNames::parse(text, "fuzzed");
  (void)fastvlm::rubric(text, "");
  return 0;
}
