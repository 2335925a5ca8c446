// SPDX-License-Identifier: Apache-2.0
// An answer under a constraint. A guide says before each step which ids follow for certain, or
// which the model may choose among; ids that are certain are run through the model in one batch.
// What a guide knows of text, sections or grammars is its own affair.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "language/decoding.h"

namespace fastvlm {

class Guide {
 public:
  struct Step {
    size_t keep = 0;     // how many ids of the answer stay; the others are taken back
    size_t settled = 0;  // how many of these no later step takes back
    std::optional<FinishReason> finish = {};  // the answer ends here
    std::vector<int32_t> forced = {};         // ids that follow; none: the model chooses one
    IdPredicate allows = {};                  // the ids that it may choose; none: all
  };

  virtual ~Guide() = default;

  // What follows `ids`, the answer so far. Asked again behind forced ids and behind each choice; an
  // end token is an id like the others and is the guide's to take back. A guide must come to an
  // end: it may take back without bounds only what it then forbids.
  virtual Result<Step> next(std::span<const int32_t> ids) = 0;
};

// decode() with a guide in place of stop_ids and stop_on_loop. The penalties know the ids that were
// chosen, not those that were forced. on_token receives an id when it is settled. Should the guide
// go beyond max_tokens, the answer is cut there (kLength). Afterwards the cache holds the prompt
// and a part of the answer.
Result<Decoded> decode_guided(const Qwen2& model, KvCache& cache, const float* prompt_rows,
                              int64_t n, Guide& guide, const DecodingOptions& options,
                              Compute compute);

}  // namespace fastvlm
