// SPDX-License-Identifier: Apache-2.0
// One sample of a data set: a picture, a question, an answer; and the files that hold them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "caption/tags.h"
#include "dataset/llava.h"

namespace fastvlm {

struct DatasetSample {
  std::string id;
  std::string image;  // relative to the folder of pictures
  std::string human;  // "<image>\n" and the question
  std::string gpt;
  std::vector<LlavaExchange> more = {};  // later questions and answers about the same picture
};

// The user's turn: the mark of the picture on a line of its own, then the tags and the prompt.
std::string human_turn(const std::vector<Tag>& tags, std::string_view prompt);

// {"id", "image", "conversations": [{"from": "human", …}, {"from": "gpt", …}]} on one line, as
// LLaVA has it.
std::string llava_record(const DatasetSample& sample);

// FOLDER/name.jsonl, one record a line, and FOLDER/name.json, a list of the same records.
Status write_samples(const std::filesystem::path& folder, const std::string& name,
                     const std::vector<DatasetSample>& samples);

}  // namespace fastvlm
