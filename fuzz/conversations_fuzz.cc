// SPDX-License-Identifier: Apache-2.0
// Any text as a file of conversations: each record is one, with answers, or a problem.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "train/conversations.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto file = fastvlm::parse_conversations(text, "fuzzed");
  if (!file.ok()) return 0;
  for (const fastvlm::Conversation& conversation : file->conversations) {
    if (conversation.image.empty() || conversation.exchanges.empty()) std::abort();
    for (const fastvlm::Exchange& exchange : conversation.exchanges) {
      if (exchange.answer.empty()) std::abort();
    }
  }
  return 0;
}
