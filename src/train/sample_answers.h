// SPDX-License-Identifier: Apache-2.0
// What a model answers to some of the samples: the first question of each, greedily.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "language/qwen2.h"
#include "text/tokenizer.h"
#include "train/training_run.h"
#include "vision/projector.h"

namespace fastvlm {

// At most `count` samples, spread over all of them.
std::vector<size_t> chosen_samples(size_t samples, size_t count);

// How a model answers.
struct Answering {
  const Tokenizer& tokenizer;
  std::vector<TokenId> stop_ids;
  int64_t max_tokens = 256;
  // Needed where the samples hold what the tower saw, as they do when the projector is learnt.
  std::optional<Projector> projector = {};
};

// The answers to the first questions of these samples, by their index.
Result<std::vector<std::string>> answers(const Qwen2& model, const SampleData& data,
                                         const std::vector<size_t>& samples, const Answering& how,
                                         ThreadPool& pool);

// The first answer that the sample itself holds.
std::string expected_answer(const SampleData& data, size_t sample, const Tokenizer& tokenizer);

}  // namespace fastvlm
