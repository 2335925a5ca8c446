// SPDX-License-Identifier: Apache-2.0
// The model card of a fine-tuned model, as hubs read it (YAML, then Markdown). Goals: every figure
// comes from a file that a run, `evaluate`, `bench` or `rate` wrote; what was not measured is left
// out, and one line says which command would fill the section.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "train/metrics.h"
#include "train/run_record.h"

namespace fastvlm {

struct ModelFolder {
  std::string name;
  std::string weights;  // "q4 g64"
  int64_t bytes = 0;
};

struct CardInputs {
  std::string name;  // of the model
  std::string run;   // the run's folder, as commands name it
  RunRecord record;
  std::vector<StepMetrics> steps;
  std::string base;     // a repository: "apple/FastVLM-0.5B"; empty: not known
  std::string license;  // as hubs name it
  std::vector<std::string> datasets;
  int64_t adapter_bytes = 0;
  std::optional<ModelFolder> merged;
  std::optional<ModelFolder> quantized;
  std::vector<nlohmann::ordered_json> evaluations;  // {"predictions", "corpus", …}
  std::vector<nlohmann::ordered_json> ratings;      // {"raters", "models", …}
  std::vector<nlohmann::ordered_json> benches;      // {"device", "chip", …}
};

// Puts what `evaluate --json`, `evaluate --compare --json` or `rate --summary --json` printed where
// it belongs. kInvalid: it is none of them.
Status add_evaluation(const std::filesystem::path& file, CardInputs& inputs);
// The row of `bench --card --json`. kInvalid: it is something else.
Status add_bench(const std::filesystem::path& file, CardInputs& inputs);

struct ModelCard {
  std::string text;
  std::vector<std::string> missing;  // sections without figures, each with the command that helps
};

ModelCard model_card(const CardInputs& inputs);

}  // namespace fastvlm
