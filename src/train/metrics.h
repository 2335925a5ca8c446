// SPDX-License-Identifier: Apache-2.0
// The lines of metrics.jsonl, one a step, and the same as an event file for TensorBoard. Everything
// that is told about a run's course comes from here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace fastvlm {

inline constexpr const char* kMetricsFile = "metrics.jsonl";

struct StepMetrics {
  int64_t step = 0;                  // from 1
  double loss = 0;                   // the mean over supervised tokens
  double rate = 0;                   // of learning
  double norm = 0;                   // of the gradient, before it was scaled down
  int64_t tokens = 0;                // supervised
  int64_t positions = 0;             // all, the image's too
  double seconds = 0;                // of the step
  double time = 0;                   // when it was done, seconds since 1970
  uint64_t rss = 0;                  // bytes of the process
  std::optional<double> evaluation;  // the loss on the samples kept for it

  // Positions.
  double tokens_per_second() const;
};

std::string metrics_line(const StepMetrics& step);

// The whole lines of the file, in its order. kInvalid: a line that is not a step.
Result<std::vector<StepMetrics>> read_metrics(const std::filesystem::path& file);

std::string event_file(const std::vector<StepMetrics>& steps);

}  // namespace fastvlm
