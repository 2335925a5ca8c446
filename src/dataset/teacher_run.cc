// SPDX-License-Identifier: Apache-2.0
#include "dataset/teacher_run.h"

#include <atomic>
#include <mutex>
#include <thread>

#include "base/mapped_file.h"
#include "base/strings.h"

namespace fastvlm {
namespace {

class Run {
 public:
  Run(const std::vector<TeacherTask>& tasks, VisionTeacher& teacher, TeacherJournal& journal,
      const std::function<void(const TeacherProgress&)>& on_progress)
      : tasks_(tasks),
        teacher_(teacher),
        journal_(journal),
        on_progress_(on_progress),
        answers_(tasks.size(), Result<std::string>(std::string())) {
    progress_.total = tasks.size();
  }

  // Takes tasks until there are no more, or none can be answered.
  void work() {
    for (size_t i = next_++; i < tasks_.size() && !ended_; i = next_++) {
      const TeacherTask& task = tasks_[i];
      const std::string key =
          TeacherJournal::key_of(teacher_.description(), task.question, task.sha256);
      if (kept(i, key)) continue;
      TeacherUsage usage;
      const auto answer = ask(task, usage);
      finish(i, key, answer, usage);
    }
  }

  Result<std::vector<Result<std::string>>> result() {
    if (!fatal_.ok()) return fatal_;
    return std::move(answers_);
  }

 private:
  bool kept(size_t i, const std::string& key) {
    const std::lock_guard lock(mutex_);
    const std::string* answer = journal_.find(key);
    if (answer == nullptr) return false;
    answers_[i] = *answer;
    ++progress_.kept;
    if (on_progress_) on_progress_(progress_);
    return true;
  }

  Result<std::string> ask(const TeacherTask& task, TeacherUsage& usage) {
    const auto file = MappedFile::open(task.path);
    if (!file.ok()) return error(Code::kInvalid, file.status().message, file.status().hint);
    return teacher_.ask(task.question, file->bytes(), task.image, usage);
  }

  void finish(size_t i, const std::string& key, const Result<std::string>& answer,
              const TeacherUsage& usage) {
    const std::lock_guard lock(mutex_);
    Status status = answer.status();
    progress_.usage += usage;
    if (answer.ok()) {
      status = journal_.add(key, tasks_[i].image, *answer, usage);
      answers_[i] = *answer;
    }
    if (!status.ok() && status.code != Code::kInvalid) {
      if (fatal_.ok()) fatal_ = status;
      ended_ = true;
      return;
    }
    if (!status.ok()) answers_[i] = status;
    ++(status.ok() ? progress_.answered : progress_.failed);
    if (on_progress_) on_progress_(progress_);
  }

  const std::vector<TeacherTask>& tasks_;
  VisionTeacher& teacher_;
  TeacherJournal& journal_;
  const std::function<void(const TeacherProgress&)>& on_progress_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> ended_{false};
  std::mutex mutex_;
  Status fatal_;
  TeacherProgress progress_;
  std::vector<Result<std::string>> answers_;
};

}  // namespace

Result<std::vector<Result<std::string>>> ask_teacher(
    const std::vector<TeacherTask>& tasks, VisionTeacher& teacher, TeacherJournal& journal,
    int at_once, const std::function<void(const TeacherProgress&)>& progress) {
  Run run(tasks, teacher, journal, progress);
  std::vector<std::thread> threads;
  for (int i = 1; i < at_once; ++i) threads.emplace_back([&run] { run.work(); });
  run.work();
  for (std::thread& thread : threads) thread.join();
  return run.result();
}

}  // namespace fastvlm
