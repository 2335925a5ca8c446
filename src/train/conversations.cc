// SPDX-License-Identifier: Apache-2.0
#include "train/conversations.h"

#include <utility>

#include "base/strings.h"
#include "dataset/record_file.h"

namespace fastvlm {
namespace {

ConversationFile gathered(const std::vector<FileRecord>& records, const std::string& name) {
  ConversationFile file;
  file.records = records.size();
  for (const FileRecord& record : records) {
    const std::string origin = cat(name, ":", record.line);
    std::vector<std::string> problems;
    LlavaRecord read;
    if (record.value.is_discarded()) {
      problems.push_back(cat("expected JSON, found ", record.excerpt));
    } else {
      read = read_llava(record.value, problems);
    }
    for (const std::string& problem : problems) {
      file.problems.push_back(cat(origin, ": ", printable(problem)));
    }
    if (!problems.empty()) continue;
    file.conversations.push_back({origin, std::move(read.image), std::move(read.exchanges)});
  }
  return file;
}

}  // namespace

Result<ConversationFile> read_conversations(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const std::vector<FileRecord> records, read_records(path));
  return gathered(records, path.string());
}

Result<ConversationFile> parse_conversations(std::string_view text, const std::string& name) {
  FASTVLM_ASSIGN(const std::vector<FileRecord> records, parse_records(text, name));
  return gathered(records, name);
}

}  // namespace fastvlm
