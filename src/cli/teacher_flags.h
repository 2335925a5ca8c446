// SPDX-License-Identifier: Apache-2.0
// Which teacher answers, and asking one over the network: --teacher and what belongs to it.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataset/builder.h"
#include "dataset/teacher_run.h"

namespace fastvlm::cli {

struct TeacherFlags {
  std::string name = "coco";  // or an address
  std::string model;
  double per_minute = 0;
  int at_once = 4;
  int64_t max_tokens = 1024;
  double temperature = 0.2;
  double price_in = 0;  // of a million tokens
  double price_out = 0;

  void add_to(CLI::App& command);
  bool is_coco() const { return name == "coco"; }
  // kUsage: no such teacher, or no model.
  Status check() const;
  // The key comes from the environment.
  TeacherOptions options(bool seven_sections) const;
  double cost(const TeacherUsage& usage) const;
};

// The answers to `samples`, of the pictures `chosen`; shows how far it is and what it costs. The
// journal is FOLDER/teacher.jsonl.
Result<std::vector<Result<std::string>>> ask_teacher_for(const TeacherFlags& flags,
                                                         bool seven_sections,
                                                         const std::filesystem::path& folder,
                                                         const std::vector<ChosenPicture>& chosen,
                                                         const std::vector<DatasetSample>& samples,
                                                         bool quiet);

}  // namespace fastvlm::cli
