// SPDX-License-Identifier: Apache-2.0
// From conversations to what the decoder reads and learns: ids with one hole for the image, and
// which ids are supervised: every answer with the <|im_end|> and the line end after it, nothing
// else.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"
#include "train/conversations.h"
#include "train/decoder_gradient.h"

namespace fastvlm {

struct SampleOptions {
  std::filesystem::path images;  // the folder that the names of pictures start from
  int64_t image_tokens = 0;      // of one picture
  int64_t max_length = 0;        // positions, the image's among them
  // Longer samples lose the end of their answer, and so do not learn to stop. Else they are
  // problems.
  bool truncate = false;
};

struct TrainingSample {
  std::string origin;  // "data.jsonl:12"
  std::filesystem::path image;
  std::vector<TokenId> ids;  // with one kImageToken
  std::vector<TrainingTarget> targets;
  int64_t length = 0;  // positions
};

struct SampleSet {
  std::vector<TrainingSample> samples;
  int64_t truncated = 0;
  std::vector<std::string> problems;  // one line each: "data.jsonl:12: ..."
  size_t records = 0;                 // of the file, good and bad
};

// An error where the file cannot be read or the tokenizer lacks the tokens of the template. What is
// wrong with single records becomes problems.
Result<SampleSet> read_samples(const std::filesystem::path& data, const Tokenizer& tokenizer,
                               const SampleOptions& options);

// One conversation as a sample, of its full length.
Result<TrainingSample> make_sample(const Conversation& conversation, const Tokenizer& tokenizer,
                                   int64_t image_tokens);

// Cuts a sample down to `length` positions.
void truncate_sample(int64_t length, int64_t image_tokens, TrainingSample& sample);

}  // namespace fastvlm
