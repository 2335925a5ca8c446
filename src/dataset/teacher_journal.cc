// SPDX-License-Identifier: Apache-2.0
#include "dataset/teacher_journal.h"

#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "base/strings.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

}  // namespace

Result<TeacherJournal> TeacherJournal::open(const std::filesystem::path& path) {
  TeacherJournal journal;
  FASTVLM_ASSIGN(journal.lines_, KeptLines::open(path));
  size_t number = 0;
  const auto visit = [&](std::string_view line, LinePlace) -> Status {
    ++number;
    const Json entry = Json::parse(line, nullptr, false);
    const bool ours = entry.is_object() && entry.contains("key") && entry["key"].is_string() &&
                      entry.contains("answer") && entry["answer"].is_string();
    if (!ours) {
      return error(Code::kInvalid,
                   cat(path.string(), ":", number, ": expected an answer of a teacher"),
                   "name another folder, or remove the line");
    }
    journal.answers_[entry["key"].get<std::string>()] = entry["answer"].get<std::string>();
    return {};
  };
  FASTVLM_ASSIGN(const std::string torn, visit_lines(path, visit));
  FASTVLM_RETURN_IF_ERROR(journal.lines_.drop(torn));
  return journal;
}

std::string TeacherJournal::key_of(const std::string& teacher, const std::string& question,
                                   const std::string& image_sha256) {
  // Lengths keep two texts apart that would read the same one behind the other.
  return sha256_hex(cat(teacher.size(), "\n", teacher, "\n", question.size(), "\n", question, "\n",
                        image_sha256));
}

const std::string* TeacherJournal::find(const std::string& key) const {
  const auto found = answers_.find(key);
  return found != answers_.end() ? &found->second : nullptr;
}

Status TeacherJournal::add(const std::string& key, const std::string& image,
                           const std::string& answer, const TeacherUsage& usage) {
  const Json entry = {{"key", key},
                      {"image", image},
                      {"answer", answer},
                      {"prompt_tokens", usage.prompt_tokens},
                      {"answer_tokens", usage.answer_tokens},
                      {"requests", usage.requests}};
  const auto place = lines_.append(entry.dump(-1, ' ', false, Json::error_handler_t::replace));
  if (!place.ok()) return place.status();
  answers_[key] = answer;
  return {};
}

}  // namespace fastvlm
