// SPDX-License-Identifier: Apache-2.0
// The commands below `fastvlm dataset`, and what they share.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "dataset/builder.h"

namespace fastvlm::cli {

void add_dataset_build(CLI::App& dataset, Command& chosen);
void add_dataset_import(CLI::App& dataset, Command& chosen);
void add_dataset_check(CLI::App& dataset, Command& chosen);
void add_dataset_stats(CLI::App& dataset, Command& chosen);

// --out, --split, --seed, --json: of commands that write a data set.
struct DatasetOutput {
  std::string out;
  std::string split = "0.9,0.05,0.05";
  uint64_t seed = 0;
  bool json = false;

  void add_to(CLI::App& command);
};

// Makes the folder, or sees that it may be written: it holds nothing of others and none of
// `inputs`.
Status prepare_output(const DatasetOutput& output,
                      const std::vector<std::filesystem::path>& inputs);

// The share of each split as --split gave it: "0.9,0.05,0.05".
std::string shares_text(const SplitShares& shares);

// Writes the data set and says what became of it: a line on stdout, or an object with --json;
// failures on stderr. `left_out` stands in the object: {"missing": 3}.
Exit finish_dataset(const DatasetOutput& output, const SplitSamples& samples,
                    const DatasetSettings& settings, const std::vector<SampleFailure>& failures,
                    const nlohmann::ordered_json& left_out);

}  // namespace fastvlm::cli
