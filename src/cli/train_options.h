// SPDX-License-Identifier: Apache-2.0
// What `fastvlm train` can be told, by options or by a TOML file, and which of it makes no sense.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "cli/flags.h"
#include "language/lora.h"
#include "train/trainer.h"

namespace fastvlm::cli {

struct TrainOptions {
  CLI::App* command = nullptr;
  ModelFlags model;
  ImageFlags image;
  std::string config;
  std::string data;
  std::string images;
  std::string out;
  std::string image_cache;
  std::string init_adapter;
  std::string evaluation_data;
  std::string targets;
  LoraSettings lora;
  TrainerSettings trainer;
  std::string precision = "fp32";
  int64_t max_length = 0;  // 0: by the number of image tokens
  int64_t save_every = 50;
  int64_t evaluate_every = 0;
  size_t report_samples = 3;
  double watts = 0;  // 0: not said
  std::string region;
  bool tune_projector = false;
  bool truncate = false;
  bool no_shuffle = false;
  bool no_self_test = false;
  bool resume = false;
  bool json = false;

  void add_to(CLI::App& app);
  // kUsage: an option that is missing, or does not go with another, or with so many processes.
  Status check_use(int processes) const;
  // What a run writes never takes the place of something else.
  Status check_folder() const;

 private:
  void add_adapter_options();
  void add_schedule_options();
  void add_run_options();
};

}  // namespace fastvlm::cli
