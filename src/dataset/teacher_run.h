// SPDX-License-Identifier: Apache-2.0
// Many questions to one teacher, some at a time. Goals: every answer is in the journal before the
// next question of its thread; what fails for one picture stops no other; what fails for all stops
// at once.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataset/teacher_journal.h"
#include "dataset/vision_teacher.h"

namespace fastvlm {

struct TeacherTask {
  std::string image;  // its name, for messages and the journal
  std::filesystem::path path;
  std::string sha256;    // of the file
  std::string question;  // without the mark of the picture
};

struct TeacherProgress {
  size_t total = 0;
  size_t answered = 0;  // by this run
  size_t kept = 0;      // by an earlier one
  size_t failed = 0;
  TeacherUsage usage;  // of this run

  size_t done() const { return answered + kept + failed; }
};

// The answers in the order of the tasks, or why a picture has none. Errors: those that no picture
// escapes (VisionTeacher::ask), kIo (the journal cannot be written). `progress` is called from any
// thread, one at a time.
Result<std::vector<Result<std::string>>> ask_teacher(
    const std::vector<TeacherTask>& tasks, VisionTeacher& teacher, TeacherJournal& journal,
    int at_once, const std::function<void(const TeacherProgress&)>& progress);

}  // namespace fastvlm
