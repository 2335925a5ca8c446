// SPDX-License-Identifier: Apache-2.0
// The conversations of a LLaVA file (dataset/llava.h) that can be learnt from, and every record
// that cannot, by file and line, all of them in one go.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "dataset/llava.h"

namespace fastvlm {

struct Conversation {
  std::string origin;  // "data.jsonl:12", where the record begins
  std::string image;   // as the file names it
  std::vector<LlavaExchange> exchanges;
};

struct ConversationFile {
  std::vector<Conversation> conversations;
  std::vector<std::string> problems;  // one line each: "data.jsonl:12: ..."
  size_t records = 0;                 // good and bad
};

// An error where the file cannot be read or holds no record at all.
Result<ConversationFile> read_conversations(const std::filesystem::path& path);

// The same for a file's text; `name` stands in origins.
Result<ConversationFile> parse_conversations(std::string_view text, const std::string& name);

}  // namespace fastvlm
