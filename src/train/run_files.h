// SPDX-License-Identifier: Apache-2.0
// The folder of a training run:
//   checkpoint.safetensors   parameters, moments and count of steps, replaced whole or not at all
//   metrics.jsonl            a line a step
//   run.json                 what is trained, and what it took (train/run_record.h)
//   events.out.tfevents.fastvlm    the metrics, for TensorBoard
//   report.html              all of it for people (train/run_report.h)
//   adapter_*.{json,safetensors}   the adapter, at the end
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/kept_lines.h"
#include "train/run_report.h"
#include "train/trainer.h"

namespace fastvlm {

// What makes a run what it is: settings, model and data, by name. A run goes on only with the same.
using RunSettings = std::map<std::string, std::string>;

class RunFolder {
 public:
  // The files that a run writes into its folder.
  static std::vector<std::filesystem::path> files(const std::filesystem::path& path);
  // Whether a run may have this folder, which need not be there: to be asked before any work.
  // kUsage: it holds a checkpoint, an adapter or metrics of something else, or steps of a run while
  // `resume` is false.
  static Status check(const std::filesystem::path& path, bool resume);
  // Makes the folder where it is missing, and locks it for as long as the object lives. Errors:
  // those of check(); another process is writing it.
  static Result<RunFolder> open(const std::filesystem::path& path, bool resume);

  std::filesystem::path checkpoint() const;
  bool has_checkpoint() const;

  Status save(Trainer& trainer, const RunSettings& settings) const;
  // Puts the trainer where the checkpoint was made. An error (kUsage) that names the first setting
  // that differs, or where the file is damaged.
  Status restore(Trainer& trainer, const RunSettings& settings) const;

  // Writes page and event file from what is in the folder, and the answers given.
  Status report(const RunRecord& record, const SampleAnswers& samples = {}) const;

  // Forgets the lines of steps after `step`, which are to be done again.
  Status rewind_metrics(int64_t step);
  Status append_metrics(const std::string& line);

 private:
  RunFolder() = default;

  std::filesystem::path path_;
  KeptLines metrics_;
};

}  // namespace fastvlm
