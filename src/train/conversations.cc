// SPDX-License-Identifier: Apache-2.0
#include "train/conversations.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/strings.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr std::string_view kImageTag = "<image>";
constexpr std::string_view kBlanks = " \t\r\n";

struct Record {
  std::string_view text;
  int64_t line = 1;
};

std::vector<Record> lines_of(std::string_view text) {
  std::vector<Record> records;
  int64_t line = 1;
  for (size_t start = 0; start < text.size(); ++line) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view record = trimmed(text.substr(start, end - start));
    if (!record.empty()) records.push_back({record, line});
    start = end + 1;
  }
  return records;
}

// The elements of a JSON array, which begins the text. What is not JSON shows when they are parsed.
std::vector<Record> elements_of(std::string_view text) {
  std::vector<Record> records;
  int64_t line = 1;
  int depth = 0;
  bool quoted = false;
  size_t begin = std::string_view::npos;  // of the element in hand
  int64_t begin_line = 1;
  const auto finish = [&](size_t end) {
    if (begin == std::string_view::npos) return;
    records.push_back({trimmed(text.substr(begin, end - begin)), begin_line});
    begin = std::string_view::npos;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (depth == 1 && !quoted && (c == ',' || c == ']')) finish(i);
    if (depth >= 1 && begin == std::string_view::npos &&
        kBlanks.find(c) == std::string_view::npos && c != ',' && c != ']') {
      begin = i;
      begin_line = line;
    }
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      ++depth;
    } else if (!quoted && (c == ']' || c == '}')) {
      --depth;
    }
  }
  finish(text.size());
  return records;
}

size_t count_tags(std::string_view text) {
  size_t count = 0;
  for (size_t at = text.find(kImageTag); at != std::string_view::npos;
       at = text.find(kImageTag, at + kImageTag.size())) {
    ++count;
  }
  return count;
}

std::string without_tag(std::string text) {
  if (const size_t at = text.find(kImageTag); at != std::string::npos) {
    text.erase(at, kImageTag.size());
  }
  return std::string(trimmed(text));
}

std::string text_of(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// What is wrong with a record; empty: nothing.
std::string read_image(const json& record, Conversation& conversation) {
  const auto image = record.find("image");
  if (image == record.end() || image->is_null()) return "no `image`: expected a file's name";
  if (image->is_array() && image->size() > 1) {
    return cat("`image`: expected one picture, found ", image->size());
  }
  const json& name = image->is_array() && !image->empty() ? image->front() : *image;
  if (!name.is_string() || name.get_ref<const std::string&>().empty()) {
    return "`image`: expected a file's name";
  }
  conversation.image = name.get<std::string>();
  return {};
}

std::string read_turn(const json& turn, size_t index, Conversation& conversation) {
  const char* const role = index % 2 == 0 ? "human" : "gpt";
  const std::string place = cat("`conversations` turn ", index + 1, ": ");
  if (!turn.is_object()) return cat(place, "expected an object with `from` and `value`");
  if (const std::string from = text_of(turn, "from"); from != role) {
    return cat(place, "expected from \"", role, "\", found \"", printable(from), "\"");
  }
  const std::string value = text_of(turn, "value");
  const size_t tags = count_tags(value);
  if (index == 0 && tags == 0) return cat(place, "no <image> tag");
  if (index == 0 && tags > 1) return cat(place, "expected one <image> tag, found ", tags);
  if (index > 0 && tags > 0) return cat(place, "expected no further <image> tag, found ", tags);
  if (index % 2 == 0) {
    conversation.exchanges.push_back({without_tag(value), {}});
    return {};
  }
  if (trimmed(value).empty()) return cat(place, "the answer is empty");
  conversation.exchanges.back().answer = value;
  return {};
}

std::string read_turns(const json& record, Conversation& conversation) {
  const auto turns = record.find("conversations");
  if (turns == record.end() || !turns->is_array() || turns->empty()) {
    return "no `conversations`: expected turns of \"human\" and \"gpt\"";
  }
  for (size_t i = 0; i < turns->size(); ++i) {
    if (std::string problem = read_turn((*turns)[i], i, conversation); !problem.empty()) {
      return problem;
    }
  }
  if (turns->size() % 2 != 0) return "`conversations`: expected an answer from \"gpt\" at the end";
  return {};
}

std::string read_record(const Record& record, Conversation& conversation) {
  const json parsed = json::parse(record.text, nullptr, false);
  if (!parsed.is_object()) return "expected a JSON object";
  if (std::string problem = read_image(parsed, conversation); !problem.empty()) return problem;
  return read_turns(parsed, conversation);
}

}  // namespace

Result<ConversationFile> read_conversations(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const std::string text, read_text_file(path));
  return parse_conversations(text, path.string());
}

Result<ConversationFile> parse_conversations(std::string_view text, const std::string& name) {
  const size_t first = text.find_first_not_of(kBlanks);
  const bool array = first != std::string_view::npos && text[first] == '[';
  ConversationFile file;
  for (const Record& record : array ? elements_of(text) : lines_of(text)) {
    Conversation conversation;
    conversation.origin = cat(name, ":", record.line);
    if (const std::string problem = read_record(record, conversation); !problem.empty()) {
      file.problems.push_back(cat(conversation.origin, ": ", problem));
    } else {
      file.conversations.push_back(std::move(conversation));
    }
  }
  if (file.conversations.empty() && file.problems.empty()) {
    return error(Code::kInvalid, cat(name, ": expected conversations, found none"),
                 "give a JSON array or one JSON object a line, as LLaVA has them");
  }
  return file;
}

}  // namespace fastvlm
