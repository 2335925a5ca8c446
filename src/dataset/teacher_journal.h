// SPDX-License-Identifier: Apache-2.0
// Answers that a teacher has given, as JSON lines in a file that only grows: a run that was ended
// goes on, and a question that was answered is not paid for again. An answer belongs to the content
// of a picture, the question and the teacher, under whatever name the picture is asked for.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "dataset/vision_teacher.h"
#include "formats/kept_lines.h"

namespace fastvlm {

class TeacherJournal {
 public:
  // Makes the file, or goes on with it; locks it while the object lives. kInvalid: a whole line
  // that is none of ours.
  static Result<TeacherJournal> open(const std::filesystem::path& path);

  static std::string key_of(const std::string& teacher, const std::string& question,
                            const std::string& image_sha256);

  // Null: was never answered.
  const std::string* find(const std::string& key) const;
  Status add(const std::string& key, const std::string& image, const std::string& answer,
             const TeacherUsage& usage);

 private:
  KeptLines lines_;
  std::unordered_map<std::string, std::string> answers_;
};

}  // namespace fastvlm
