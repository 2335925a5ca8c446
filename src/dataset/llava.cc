// SPDX-License-Identifier: Apache-2.0
#include "dataset/llava.h"

#include <algorithm>
#include <array>
#include <map>

#include "base/strings.h"
#include "caption/schema.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using Problems = std::vector<std::string>;

std::string without_marks(std::string text) {
  for (size_t at = text.find(kImageMark); at != std::string::npos; at = text.find(kImageMark)) {
    text.erase(at, kImageMark.size());
  }
  return std::string(trimmed(text));
}

std::string text_at(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return {};
  if (found->is_number_integer()) return found->dump();
  return found->is_string() ? found->get<std::string>() : std::string();
}

std::string image_name(const json& record, Problems& problems) {
  const auto image = record.find("image");
  if (image == record.end() || image->is_null()) {
    problems.emplace_back("no `image`: expected a file's name");
    return {};
  }
  if (image->is_array() && image->size() > 1) {
    problems.push_back(cat("`image`: expected one picture, found ", image->size()));
    return {};
  }
  const json& only = image->is_array() && !image->empty() ? image->front() : *image;
  std::string name = only.is_object()   ? text_at(only, "path")
                     : only.is_string() ? only.get<std::string>()
                                        : std::string();
  if (name.empty()) problems.emplace_back("`image`: expected a file's name");
  return name;
}

// `place` stands in front of what is wrong with this turn.
void read_question(std::string value, bool first, const std::string& place, LlavaRecord& record,
                   Problems& problems) {
  const size_t marks = count_image_marks(value);
  if (first && marks == 0) problems.push_back(place + "no <image>");
  if (first && marks > 1) problems.push_back(cat(place, "expected one <image>, found ", marks));
  if (!first && marks > 0) {
    problems.push_back(cat(place, "expected no further <image>, found ", marks));
  }
  record.exchanges.push_back({without_marks(std::move(value)), {}});
}

void read_answer(std::string value, const std::string& place, LlavaRecord& record,
                 Problems& problems) {
  if (trimmed(value).empty()) problems.push_back(place + "the answer is empty");
  if (count_image_marks(value) > 0) problems.push_back(place + "expected no <image> in an answer");
  if (record.exchanges.empty()) record.exchanges.emplace_back();
  record.exchanges.back().answer = std::move(value);
}

void read_turns(const json& turns, LlavaRecord& record, Problems& problems) {
  for (size_t i = 0; i < turns.size(); ++i) {
    const bool human = i % 2 == 0;
    const std::string place = cat("turn ", i + 1, ": ");
    if (!turns[i].is_object()) {
      problems.push_back(place + "expected an object with `from` and `value`");
      continue;
    }
    const std::string from = text_at(turns[i], "from");
    if (from != (human ? "human" : "gpt")) {
      problems.push_back(cat(place, "expected `from` \"", human ? "human" : "gpt", "\", found \"",
                             excerpt(from), "\""));
    }
    std::string value = text_at(turns[i], "value");
    if (human) {
      read_question(std::move(value), i == 0, place, record, problems);
    } else {
      read_answer(std::move(value), place, record, problems);
    }
  }
  if (turns.size() % 2 != 0) problems.emplace_back("no answer from \"gpt\" at the end");
}

// How often each of the seven has a header in a text.
std::array<int, kSectionCount> times_of_sections(std::string_view text) {
  std::array<int, kSectionCount> times = {};
  for (const SectionPart& part : split_sections(text)) {
    if (part.section) ++times[static_cast<size_t>(*part.section)];
  }
  return times;
}

}  // namespace

size_t count_image_marks(std::string_view text) {
  size_t count = 0;
  for (size_t at = text.find(kImageMark); at != std::string_view::npos;
       at = text.find(kImageMark, at + kImageMark.size())) {
    ++count;
  }
  return count;
}

LlavaRecord read_llava(const json& value, Problems& problems) {
  LlavaRecord record;
  if (!value.is_object()) {
    problems.emplace_back("expected an object with `image` and `conversations`");
    return record;
  }
  record.id = text_at(value, "id");
  record.image = image_name(value, problems);
  const auto turns = value.find("conversations");
  if (turns == value.end() || !turns->is_array() || turns->empty()) {
    problems.emplace_back("no `conversations`: expected turns of \"human\" and \"gpt\"");
    return record;
  }
  read_turns(*turns, record, problems);
  return record;
}

Problems section_problems(std::string_view answer, std::string_view question) {
  const std::array<int, kSectionCount> asked = times_of_sections(question);
  const bool all = std::all_of(asked.begin(), asked.end(), [](int count) { return count == 0; });
  const std::array<int, kSectionCount> times = times_of_sections(answer);
  Problems problems;
  if (std::all_of(times.begin(), times.end(), [](int count) { return count == 0; }))
    return problems;
  const Sections sections = parse_sections(answer);
  std::map<std::string, std::string_view> seen;
  for (size_t i = 0; i < kSectionCount; ++i) {
    const std::string_view title = section_title(kAllSections[i]);
    if (times[i] == 0 && (all || asked[i] > 0)) {
      problems.push_back(cat("section ", title, ": is missing"));
    }
    if (times[i] > 1) problems.push_back(cat("section ", title, ": comes ", times[i], " times"));
    if (!sections[i]) continue;
    if (sections[i]->empty()) {
      problems.push_back(cat("section ", title, ": is empty"));
      continue;
    }
    const auto [first, added] = seen.emplace(*sections[i], title);
    if (!added) problems.push_back(cat("section ", title, ": has the text of ", first->second));
  }
  return problems;
}

bool has_all_sections(std::string_view answer) {
  const Sections sections = parse_sections(answer);
  return std::all_of(sections.begin(), sections.end(),
                     [](const auto& text) { return text && !text->empty(); });
}

}  // namespace fastvlm
