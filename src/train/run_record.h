// SPDX-License-Identifier: Apache-2.0
// run.json in a run's folder: what was trained with what, and what each part of the run took, from
// its first start to its end over every resume. Report and model card are made from it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/stopwatch.h"
#include "train/energy.h"

namespace fastvlm {

inline constexpr const char* kRunRecordFile = "run.json";

// From one start of the program to its end.
struct RunPart {
  double seconds = 0;
  std::optional<double> joules;  // as the processor measured them
  std::optional<double> watts;   // as the user said them, in their place
  std::string processor;
  int threads = 0;
  uint64_t peak_memory = 0;  // bytes
};

struct RunData {
  std::string file;  // its name alone
  int64_t samples = 0;
  int64_t pictures = 0;  // different ones
  int64_t tokens = 0;    // supervised
};

struct RunRecord {
  std::string program;
  std::string model;   // the folder's name
  std::string sha256;  // of its weight files and config
  std::string weights;
  int64_t model_bytes = 0;  // of its files
  std::string source;       // where it was pulled from; empty: not known
  std::string license;      // as its files state it; empty: they do not
  RunData data;
  std::optional<RunData> evaluation;
  // Of dataset.json beside the data: how the data was made.
  std::vector<std::pair<std::string, std::string>> data_made;
  std::vector<std::pair<std::string, std::string>> settings;  // in the order to show them
  int64_t steps = 0;                                          // of the whole run
  int64_t trained_parameters = 0;
  std::string region;  // a country's name, or empty
  std::optional<double> grams_per_kwh;
  std::vector<RunPart> parts;
};

// None where there is no such file. kInvalid: it is something else.
Result<std::optional<RunRecord>> read_run_record(const std::filesystem::path& folder);

// The sum of a run's parts.
struct RunCost {
  double seconds = 0;
  double joules = 0;
  double joules_seconds = 0;  // of the parts whose energy is known; 0: none is
  bool measured = false;      // some of it by the processor
  bool stated = false;        // some of it by the user's watts
  uint64_t peak_memory = 0;

  double hours() const { return seconds / 3600; }
  double kilowatt_hours() const { return joules / 3.6e6; }
};
RunCost cost_of(const RunRecord& record);

// Keeps the record of a run that is going on: counts its time and energy, and writes it now and
// then, so that a run that is killed loses seconds of them. Any thread may call it.
class RunMeter {
 public:
  // Goes on with the record in the folder, if there is one. `part` says all but what is counted
  // here; time counts from the start of `since`. Where it has watts no counters are read.
  static Result<std::unique_ptr<RunMeter>> start(const std::filesystem::path& folder, RunPart part,
                                                 const Stopwatch& since);

  RunMeter(const RunMeter&) = delete;
  RunMeter& operator=(const RunMeter&) = delete;
  ~RunMeter();  // saves once more

  void change(const std::function<void(RunRecord& record)>& change);
  // Reads clock and counters and writes the file.
  Status save();
  RunRecord record();

 private:
  RunMeter(std::filesystem::path folder, RunRecord record, const Stopwatch& since);
  Status save_locked();

  std::filesystem::path folder_;
  Stopwatch since_;
  EnergyCounters counters_;
  std::mutex mutex_;
  std::condition_variable_any ended_;
  RunRecord record_;
  std::jthread watch_;  // the last one: it ends before the others go
};

}  // namespace fastvlm
