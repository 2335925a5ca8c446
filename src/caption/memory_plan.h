// SPDX-License-Identifier: Apache-2.0
// What captioning a picture will hold in memory, reckoned before any weight is read. Not counted:
// the picture as decoded (three bytes a pixel; a progressive JPEG needs three times that while it
// is read), a detector.
#pragma once

#include <cstdint>

#include "formats/checkpoint.h"
#include "vision/tower_plan.h"

namespace fastvlm {

struct MemoryPlan {      // all in bytes
  int64_t program = 0;   // what is there already: code, libraries, tokenizer
  int64_t encoder = 0;   // packed weights of tower and projector
  int64_t encoding = 0;  // the tower's maps and its input
  int64_t language = 0;  // packed weights of the language model
  int64_t decoding = 0;  // keys, values and working rows; they stay for the next picture

  int64_t peak() const;           // with all weights in memory
  int64_t peak_in_turns() const;  // with tower and language model taking turns
};

// For pictures of `side` pixels and `text_tokens` of prompt and answer together; `tower` is the
// checkpoint's.
MemoryPlan plan_memory(const Checkpoint& checkpoint, const TowerPlan& tower, int64_t side,
                       int64_t text_tokens);

}  // namespace fastvlm
