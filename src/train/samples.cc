// SPDX-License-Identifier: Apache-2.0
#include "train/samples.h"

#include <algorithm>

#include "base/strings.h"
#include "text/conversation.h"

namespace fastvlm {
namespace {

// Positions of ids[0 .. count), where the hole takes as many as the image has tokens.
int64_t positions_of(const std::vector<TokenId>& ids, size_t count, int64_t image_tokens) {
  const auto end = ids.begin() + static_cast<std::ptrdiff_t>(count);
  const bool image = std::find(ids.begin(), end, kImageToken) != end;
  return static_cast<int64_t>(count) + (image ? image_tokens - 1 : 0);
}

// What is wrong with a sample that was read; empty: nothing.
std::string check_sample(const SampleOptions& options, TrainingSample& sample, int64_t& truncated) {
  std::error_code failed;
  if (!std::filesystem::is_regular_file(sample.image, failed)) {
    return cat("image ", printable(sample.image.string()), ": no such file");
  }
  if (sample.length <= options.max_length) return {};
  const int64_t length = sample.length;
  truncate_sample(options.max_length, options.image_tokens, sample);
  if (sample.targets.empty()) {
    return cat("prompt and image alone take all of the ", options.max_length, " positions");
  }
  if (!options.truncate) {
    return cat("expected at most ", options.max_length, " positions, found ", length);
  }
  ++truncated;
  return {};
}

}  // namespace

Result<TrainingSample> make_sample(const Conversation& conversation, const Tokenizer& tokenizer,
                                   int64_t image_tokens) {
  TrainingSample sample;
  sample.origin = conversation.origin;
  for (const LlavaExchange& exchange : conversation.exchanges) {
    if (sample.ids.empty()) {
      FASTVLM_ASSIGN(sample.ids,
                     conversation_ids(tokenizer, exchange.question, PromptOrder::kImageFirst));
    } else {
      FASTVLM_RETURN_IF_ERROR(append_question(tokenizer, exchange.question, sample.ids));
    }
    const size_t begin = sample.ids.size();
    FASTVLM_RETURN_IF_ERROR(append_answer(tokenizer, exchange.answer, sample.ids));
    const auto first = static_cast<int32_t>(positions_of(sample.ids, begin, image_tokens));
    for (size_t i = begin; i < sample.ids.size(); ++i) {
      // A position's id is what the row before it is to predict.
      sample.targets.push_back({first + static_cast<int32_t>(i - begin) - 1, sample.ids[i]});
    }
  }
  sample.length = positions_of(sample.ids, sample.ids.size(), image_tokens);
  return sample;
}

void truncate_sample(int64_t length, int64_t image_tokens, TrainingSample& sample) {
  while (sample.length > length && sample.ids.back() != kImageToken) {
    sample.ids.pop_back();
    sample.length = positions_of(sample.ids, sample.ids.size(), image_tokens);
  }
  std::erase_if(sample.targets,
                [&](const TrainingTarget& target) { return target.row + 1 >= sample.length; });
}

Result<SampleSet> read_samples(const std::filesystem::path& data, const Tokenizer& tokenizer,
                               const SampleOptions& options) {
  FASTVLM_ASSIGN(ConversationFile file, read_conversations(data));
  SampleSet set;
  set.problems = std::move(file.problems);
  set.records = file.records;
  for (const Conversation& conversation : file.conversations) {
    FASTVLM_ASSIGN(TrainingSample sample,
                   make_sample(conversation, tokenizer, options.image_tokens));
    sample.image = options.images / conversation.image;
    if (const std::string problem = check_sample(options, sample, set.truncated);
        !problem.empty()) {
      set.problems.push_back(cat(sample.origin, ": ", problem));
    } else {
      set.samples.push_back(std::move(sample));
    }
  }
  return set;
}

}  // namespace fastvlm
