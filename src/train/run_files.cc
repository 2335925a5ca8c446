// SPDX-License-Identifier: Apache-2.0
#include "train/run_files.h"

#include <charconv>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "formats/atomic_file.h"
#include "formats/safetensors.h"
#include "language/adapter_file.h"

namespace fastvlm {
namespace {

constexpr const char* kCheckpointFile = "checkpoint.safetensors";
constexpr const char* kEventFile = "events.out.tfevents.fastvlm";
constexpr const char* kStepKey = "step";
constexpr const char* kSettingPrefix = "setting.";

// The arrays of a checkpoint, by name.
std::map<std::string, std::span<float>> arrays(Trainer& trainer) {
  return {{"parameters", trainer.parameters()},
          {"first_moments", trainer.optimizer().first_moments()},
          {"second_moments", trainer.optimizer().second_moments()}};
}

Status damaged(const std::filesystem::path& path, std::string_view what) {
  return error(Code::kInvalid, cat(path.string(), ": ", what),
               "this is not a checkpoint of this run; begin again in a new folder");
}

Status check_settings(const std::filesystem::path& path,
                      const std::map<std::string, std::string>& metadata,
                      const RunSettings& settings) {
  for (const auto& [name, value] : settings) {
    const auto found = metadata.find(kSettingPrefix + name);
    const std::string before = found == metadata.end() ? "nothing" : found->second;
    if (before == value) continue;
    return error(Code::kUsage,
                 cat(path.string(), ": the run was begun with ", name, " ", printable(before),
                     ", found ", printable(value)),
                 "resume with the settings of the run, or begin another in a new folder");
  }
  return {};
}

// Readers of event files wait for more at the end of a file. Where the steps before are others now,
// as after a run that was killed, a new file takes its place.
Status write_events(const std::filesystem::path& path, const std::string& events) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return write_file_atomically(path, events);
  FASTVLM_ASSIGN(const std::string before, read_text_file(path));
  if (!events.starts_with(before)) return write_file_atomically(path, events);
  std::ofstream file(path, std::ios::binary | std::ios::app);
  file << std::string_view(events).substr(before.size()) << std::flush;
  if (file.good()) return {};
  return error(Code::kIo, cat(path.string(), ": cannot be written"),
               "free some space on that disk; what is in the run stays good");
}

}  // namespace

std::vector<std::filesystem::path> RunFolder::files(const std::filesystem::path& path) {
  return {path / kMetricsFile,      path / kCheckpointFile, path / kRunRecordFile,
          path / kEventFile,        path / kReportFile,     path / kAdapterConfigFile,
          path / kAdapterTensorFile};
}

Status RunFolder::check(const std::filesystem::path& path, bool resume) {
  constexpr char kOwn[] = "name a folder of its own for the run with --out";
  std::error_code ignored;
  const auto holds = [&](const char* name) {
    return std::filesystem::exists(path / name, ignored);
  };
  if (holds("config.json")) {
    return error(Code::kUsage, cat(path.string(), ": holds a checkpoint"), kOwn);
  }
  for (const char* name : {kReportFile, kEventFile}) {
    if (!holds(name) || holds(kRunRecordFile)) continue;
    return error(Code::kUsage, cat((path / name).string(), ": is not of a run"), kOwn);
  }
  if (const auto record = read_run_record(path); !record.ok()) {
    return error(Code::kUsage, record.status().message, kOwn);
  }
  std::string first;  // line of the metrics
  std::ifstream metrics(path / kMetricsFile);
  std::getline(metrics, first);
  if (!holds(kMetricsFile) && !holds(kCheckpointFile) && holds(kAdapterConfigFile)) {
    return error(Code::kUsage, cat(path.string(), ": holds an adapter that is not of a run"), kOwn);
  }
  const auto step = nlohmann::json::parse(first, nullptr, false);
  if (!first.empty() && !(step.is_object() && step.contains(kStepKey) && step.contains("loss"))) {
    return error(Code::kUsage, cat((path / kMetricsFile).string(), ": is not the metrics of a run"),
                 kOwn);
  }
  const bool lines =
      holds(kMetricsFile) && std::filesystem::file_size(path / kMetricsFile, ignored) > 0;
  if ((!lines && !holds(kCheckpointFile)) || resume) return {};
  return error(Code::kUsage, cat(path.string(), ": holds a training run already"),
               "go on with it with --resume, or give a new folder with --out");
}

Result<RunFolder> RunFolder::open(const std::filesystem::path& path, bool resume) {
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (failed) {
    return error(Code::kIo, cat(path.string(), ": cannot be made: ", failed.message()),
                 "give another folder with --out");
  }
  FASTVLM_RETURN_IF_ERROR(check(path, resume));
  RunFolder folder;
  folder.path_ = path;
  FASTVLM_ASSIGN(folder.metrics_, KeptLines::open(path / kMetricsFile));
  std::set<std::string> names;
  for (const std::filesystem::path& file : files(path)) names.insert(file.filename().string());
  remove_abandoned_files(path, names);
  return folder;
}

std::filesystem::path RunFolder::checkpoint() const {
  return path_ / kCheckpointFile;
}

bool RunFolder::has_checkpoint() const {
  std::error_code failed;
  return std::filesystem::exists(checkpoint(), failed);
}

Status RunFolder::save(Trainer& trainer, const RunSettings& settings) const {
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, values] : arrays(trainer)) {
    tensors.push_back(
        {name, DType::kF32, {static_cast<int64_t>(values.size())}, std::as_bytes(values)});
  }
  std::map<std::string, std::string> metadata{{kStepKey, cat(trainer.steps_done())}};
  for (const auto& [name, value] : settings) metadata[kSettingPrefix + name] = value;
  return write_safetensors(checkpoint(), tensors, metadata);
}

Status RunFolder::restore(Trainer& trainer, const RunSettings& settings) const {
  FASTVLM_ASSIGN(const SafetensorsFile file, SafetensorsFile::open(checkpoint()));
  FASTVLM_RETURN_IF_ERROR(check_settings(file.path(), file.metadata(), settings));
  const auto step = file.metadata().find(kStepKey);
  int64_t steps = -1;
  if (step != file.metadata().end()) {
    std::from_chars(step->second.data(), step->second.data() + step->second.size(), steps);
  }
  if (steps < 0 || steps > trainer.total_steps()) {
    return damaged(file.path(), "expected the number of steps done");
  }
  for (const auto& [name, values] : arrays(trainer)) {
    const TensorView* tensor = file.find(name);
    if (tensor == nullptr || tensor->dtype != DType::kF32 ||
        tensor->bytes.size() != values.size_bytes()) {
      return damaged(file.path(),
                     cat("tensor ", name, ": expected ", values.size(), " F32 numbers"));
    }
    std::memcpy(values.data(), tensor->bytes.data(), values.size_bytes());
    file.release(*tensor);
  }
  trainer.optimizer().set_steps(steps);
  return {};
}

Status RunFolder::report(const RunRecord& record, const SampleAnswers& samples) const {
  FASTVLM_ASSIGN(const std::vector<StepMetrics> steps, read_metrics(metrics_.path()));
  FASTVLM_RETURN_IF_ERROR(write_events(path_ / kEventFile, event_file(steps)));
  const std::string name = std::filesystem::absolute(path_).lexically_normal().filename().string();
  return write_file_atomically(path_ / kReportFile, run_report(name, record, steps, samples));
}

Status RunFolder::rewind_metrics(int64_t step) {
  std::string later;
  const auto visit = [&](std::string_view line, LinePlace) -> Status {
    const nlohmann::json parsed = nlohmann::json::parse(line, nullptr, false);
    const bool kept = later.empty() && parsed.is_object() && parsed.contains("step") &&
                      parsed["step"].is_number_integer() && parsed["step"].get<int64_t>() <= step;
    if (!kept) later.append(line).append("\n");
    return {};
  };
  FASTVLM_ASSIGN(const std::string torn, visit_lines(metrics_.path(), visit));
  return metrics_.drop(later + torn);
}

Status RunFolder::append_metrics(const std::string& line) {
  return metrics_.append(line).status();
}

}  // namespace fastvlm
