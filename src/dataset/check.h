// SPDX-License-Identifier: Apache-2.0
// What is wrong with the files of a data set, all of it at once. Goals: every problem has its file
// and line; a bad record hides no other; pictures are decoded, not only looked for. Non-goals:
// judging what answers say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace fastvlm {

struct CheckOptions {
  std::filesystem::path images;          // empty: pictures are not looked at
  const Tokenizer* tokenizer = nullptr;  // null: lengths are not known
  int64_t image_tokens = 256;            // of one picture
  int64_t max_length = 0;                // positions of a sample; 0: no limit
  // After each sample: how many are done, of how many.
  std::function<void(size_t done, size_t total)> progress = {};
  std::function<bool()> stop = [] { return false; };
};

struct DatasetProblem {
  std::string file;
  int64_t line = 0;
  std::string what;
};

// Numbers of one kind, in the order of the samples.
struct Spread {
  std::vector<int64_t> values;

  bool empty() const { return values.empty(); }
  int64_t least() const;
  int64_t most() const;
  int64_t median() const;  // the lower one of two
  double mean() const;
};

struct HistogramBar {
  int64_t from = 0;  // to from + width - 1
  int64_t width = 0;
  size_t count = 0;
};
// At most twelve bars of a width that is a power of two; empty ones in between are there.
std::vector<HistogramBar> histogram_of(const Spread& spread);

struct DatasetCheck {
  size_t samples = 0;
  size_t bad = 0;  // samples with a problem
  size_t pictures = 0;
  size_t seven_sections = 0;  // answers with all of them
  size_t free_answers = 0;    // answers with none
  size_t answers = 0;
  size_t distinct_answers = 0;
  Spread tokens;  // positions of each sample that could be read; empty without a tokenizer
  Spread answer_words;
  Spread tags;  // object tags in each first question
  size_t overlong = 0;
  std::vector<DatasetProblem> problems;  // in the order of the files and their lines
};

// Reads all `files` as the splits of one data set. Errors: a file that cannot be read or holds no
// records, kInterrupted, a tokenizer without the tokens of the conversation.
Result<DatasetCheck> check_dataset(const std::vector<std::filesystem::path>& files,
                                   const CheckOptions& options);

// The files that `path` stands for: itself, or train.jsonl, val.jsonl and test.jsonl of a folder.
Result<std::vector<std::filesystem::path>> dataset_files(const std::filesystem::path& path);

}  // namespace fastvlm
