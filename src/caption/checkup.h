// SPDX-License-Identifier: Apache-2.0
// Looks a checkpoint folder over for every mistake that people are known to make with these models,
// and says what to do about each. Goals: one pass finds them all (a finding does not hide the next
// one), a healthy folder is called healthy. Non-goals: judging captions, changing files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/thread_pool.h"

namespace fastvlm {

enum class Verdict {
  kGood,
  kNote,  // works here, but is unusual or fails elsewhere
  kBad,   // does not work, or gives wrong captions
};

struct Finding {
  Verdict verdict = Verdict::kGood;
  std::string check;   // "tokenizer": the same words in every run
  std::string found;   // one line
  std::string remedy;  // one line; empty when there is nothing to do
};

// `vision_tower` as in EngineOptions. Reads all weights and runs the model on a grey picture at the
// end.
std::vector<Finding> examine_model(const std::filesystem::path& folder,
                                   const std::optional<std::filesystem::path>& vision_tower,
                                   ThreadPool& pool);

// The checks of numbers alone: weights that are not finite, clipped halves, scales of quantised
// matrices.
std::vector<Finding> examine_weight_file(const std::filesystem::path& file);

bool any_bad(const std::vector<Finding>& findings);

}  // namespace fastvlm
