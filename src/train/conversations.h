// SPDX-License-Identifier: Apache-2.0
// Files of conversations as LLaVA has them: a JSON array, or one object a line (JSONL), of
//   {"id": ..., "image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\n..."},
//                                                   {"from": "gpt", "value": "..."}, ...]}
// Goal: every record that cannot be used is named with its file and line, all of them in one go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct Exchange {
  std::string question;  // without the image's tag and the blanks around it
  std::string answer;
};

struct Conversation {
  std::string origin;  // "data.jsonl:12", where the record begins
  std::string image;   // as the file names it
  std::vector<Exchange> exchanges;
};

struct ConversationFile {
  std::vector<Conversation> conversations;
  std::vector<std::string> problems;  // one line each: "data.jsonl:12: ..."
};

// An error where the file cannot be read or holds no record at all.
Result<ConversationFile> read_conversations(const std::filesystem::path& path);

// The same for a file's text; `name` stands in origins.
Result<ConversationFile> parse_conversations(std::string_view text, const std::string& name);

}  // namespace fastvlm
