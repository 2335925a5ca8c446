// SPDX-License-Identifier: Apache-2.0
// A training run as one HTML page that needs no other file and runs no script: curves, answers
// before and after, data, settings, what it took. Made from run.json and metrics.jsonl alone, so
// that it covers a run from its first start, however often it was resumed.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "train/metrics.h"
#include "train/run_record.h"

namespace fastvlm {

inline constexpr const char* kReportFile = "report.html";

// What a model says to one question about a picture, before it was trained and after.
struct SampleAnswer {
  std::filesystem::path picture;
  std::string expected;  // the sample's own answer
  std::string before;
  std::string after;
};

struct SampleAnswers {
  std::vector<SampleAnswer> answers;
  bool learnt = false;  // they are from the samples that were learnt, for there were no others
};

std::string run_report(const std::string& name, const RunRecord& record,
                       const std::vector<StepMetrics>& steps, const SampleAnswers& samples);

// Sentences about time, energy and emissions, and how they were found.
std::vector<std::string> cost_sentences(const RunRecord& record);

}  // namespace fastvlm
