// SPDX-License-Identifier: Apache-2.0
#include "cli/teacher_flags.h"

#include <cstdlib>

#include "cli/console.h"
#include "cli/progress.h"

namespace fastvlm::cli {
namespace {

constexpr size_t kEnoughToEstimate = 5;  // answers

std::string number(int64_t value) {
  return with_thousands(value);
}

std::string money(double amount) {
  return fixed(amount, amount < 1 ? 4 : 2);
}

// What the answers of this run took, for people.
std::string usage_text(const TeacherFlags& flags, const TeacherProgress& progress) {
  const TeacherUsage& usage = progress.usage;
  std::string text =
      cat("teacher: ", number(static_cast<int64_t>(progress.answered)), " answered now, ",
          number(static_cast<int64_t>(progress.kept)), " kept, ",
          number(static_cast<int64_t>(progress.failed)), " failed; ", number(usage.requests),
          " requests (", number(usage.repeated), " repeated, ", number(usage.asked_again),
          " for answers that lacked something), ", number(usage.prompt_tokens), " + ",
          number(usage.answer_tokens), " tokens");
  if (flags.cost(usage) > 0) text += cat(", cost ", money(flags.cost(usage)));
  return text;
}

}  // namespace

void TeacherFlags::add_to(CLI::App& command) {
  const std::string group = "Teacher";
  const auto add = [&](const char* option, auto& value, const char* about) {
    return command.add_option(option, value, about)->group(group)->capture_default_str();
  };
  add("--teacher", name,
      "Who answers: coco (composed from captions and boxes, no network), or the https:// address "
      "of "
      "an OpenAI-compatible server that sees pictures; its key is in $FASTVLM_TEACHER_KEY");
  add("--teacher-model", model, "The model's name there");
  add("--rate", per_minute, "Most requests a minute; 0: no limit")->check(CLI::NonNegativeNumber);
  add("--concurrency", at_once, "Requests at a time")->check(CLI::Range(1, 256));
  add("--teacher-tokens", max_tokens, "Most tokens of an answer")->check(CLI::Range(1, 1 << 20));
  add("--temperature", temperature, "Of the teacher's answers")->check(CLI::Range(0.0, 2.0));
  add("--price-in", price_in, "Of a million tokens that it reads, for the cost")
      ->check(CLI::NonNegativeNumber);
  add("--price-out", price_out, "Of a million tokens that it writes")
      ->check(CLI::NonNegativeNumber);
}

Status TeacherFlags::check() const {
  if (is_coco()) return {};
  if (name.find("://") == std::string::npos) {
    return error(Code::kUsage, cat("--teacher ", name, ": expected coco or an address"),
                 "write https://host/v1");
  }
  FASTVLM_RETURN_IF_ERROR(check_url(name));
  if (!model.empty()) return {};
  return error(Code::kUsage, cat("--teacher ", name, ": expected --teacher-model NAME"),
               "name a model of that server that sees pictures");
}

TeacherOptions TeacherFlags::options(bool seven_sections) const {
  TeacherOptions options;
  options.url = name;
  options.model = model;
  if (const char* key = std::getenv("FASTVLM_TEACHER_KEY"); key != nullptr) options.key = key;
  options.seven_sections = seven_sections;
  options.per_minute = per_minute;
  options.max_tokens = max_tokens;
  options.temperature = temperature;
  options.stop = stop_asked;
  return options;
}

double TeacherFlags::cost(const TeacherUsage& usage) const {
  return (price_in * static_cast<double>(usage.prompt_tokens) +
          price_out * static_cast<double>(usage.answer_tokens)) /
         1e6;
}

Result<std::vector<Result<std::string>>> ask_teacher_for(const TeacherFlags& flags,
                                                         bool seven_sections,
                                                         const std::filesystem::path& folder,
                                                         const std::vector<ChosenPicture>& chosen,
                                                         const std::vector<DatasetSample>& samples,
                                                         bool quiet) {
  std::vector<TeacherTask> tasks;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const std::string_view question = samples[i].human;
    tasks.push_back({chosen[i].image, chosen[i].path, chosen[i].sha256,
                     std::string(trimmed(question.substr(kImageMark.size())))});
  }
  FASTVLM_ASSIGN(TeacherJournal journal, TeacherJournal::open(folder / "teacher.jsonl"));
  VisionTeacher teacher(flags.options(seven_sections));
  Progress shown(quiet);
  TeacherProgress last;
  bool estimated = quiet || flags.price_in + flags.price_out <= 0;
  const auto on_progress = [&](const TeacherProgress& progress) {
    last = progress;
    if (!estimated && progress.answered >= kEnoughToEstimate) {
      estimated = true;
      const double each = flags.cost(progress.usage) / static_cast<double>(progress.answered);
      const double left = each * static_cast<double>(progress.total - progress.done());
      shown.clear();
      note(cat("cost so far ", money(flags.cost(progress.usage)), ", about ", money(left),
               " more to come"));
    }
    JobCounts counts;
    counts.total = progress.total;
    counts.made = progress.answered;
    counts.kept = progress.kept;
    counts.failed = progress.failed;
    shown.show(counts);
  };
  auto answers = ask_teacher(tasks, teacher, journal, flags.at_once, on_progress);
  shown.clear();
  if (!quiet) note(usage_text(flags, last));
  return answers;
}

}  // namespace fastvlm::cli
