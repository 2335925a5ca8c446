// SPDX-License-Identifier: Apache-2.0
// The folder of a training run:
//   checkpoint.safetensors   parameters, moments and count of steps, replaced whole or not at all
//   metrics.jsonl            a line a step
//   adapter_*.{json,safetensors}   the adapter, at the end
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "base/result.h"
#include "formats/kept_lines.h"
#include "train/trainer.h"

namespace fastvlm {

// What makes a run what it is: settings, model and data, by name. A run goes on only with the same.
using RunSettings = std::map<std::string, std::string>;

class RunFolder {
 public:
  // Makes the folder where it is missing, and locks it for as long as the object lives. Errors: it
  // holds steps of a run and `resume` is false; another process is writing it.
  static Result<RunFolder> open(const std::filesystem::path& path, bool resume);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoint() const { return path_ / "checkpoint.safetensors"; }
  bool has_checkpoint() const;

  Status save(Trainer& trainer, const RunSettings& settings) const;
  // Puts the trainer where the checkpoint was made. An error (kUsage) that names the first setting
  // that differs, or where the file is damaged.
  Status restore(Trainer& trainer, const RunSettings& settings) const;

  // Forgets the lines of steps after `step`, which are to be done again.
  Status rewind_metrics(int64_t step);
  Status append_metrics(const std::string& line);

 private:
  RunFolder() = default;

  std::filesystem::path path_;
  KeptLines metrics_;
};

}  // namespace fastvlm
