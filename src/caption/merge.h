// SPDX-License-Identifier: Apache-2.0
// Joins what the shards of a job have made. Goals: the file that one run over all pictures would
// have written, and no picture missing without a word. Non-goals: captions of different settings.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "caption/output.h"

namespace fastvlm {

struct MergeReport {
  size_t captions = 0;
  size_t repeated = 0;                 // in several inputs, with one text
  std::vector<std::string> different;  // in several inputs, with several texts: the first counts
  std::vector<std::string> failed;     // tried, without success
  std::vector<std::string> missing;    // in the plan of an input, not tried
  std::vector<size_t> missing_shards;  // no input is of this part
  bool complete() const {
    return different.empty() && failed.empty() && missing.empty() && missing_shards.empty();
  }
};

// `inputs` are journals, or JSON lines of captions, which do not tell what is missing. The order is
// that of the whole job where the journals are its shards, else by name. `output` is a file of
// captions by its extension, or a journal (.journal), with which a run over all pictures can go on.
// `wanted` says what is taken over of captions in journals; JSON lines keep what they have of it
// anyway. Errors: kUsage (no such format), kInvalid (inputs of different settings, damaged ones),
// kIo.
Result<MergeReport> merge_results(const std::vector<std::filesystem::path>& inputs,
                                  const std::filesystem::path& output, WantedParts wanted = {});

}  // namespace fastvlm
