// SPDX-License-Identifier: Apache-2.0
// How far the answers of a changed language model (quantised, merged) are from those of the model
// that it was made from: both read the same texts, in f32 arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "language/lora.h"

namespace fastvlm {

struct ModelComparison {
  int64_t positions = 0;
  double largest_difference = 0;  // of a logit
  double logits_error = 0;        // root mean square of the differences over that of the logits
  double agreement = 0;           // share of positions with the same likeliest token
  std::vector<double> layers;     // the same error of the residual stream, [layers + 1]

  int64_t worst_layer() const;  // index in `layers`
};

// Texts as ids: with a tokenizer in the checkpoint's folder three short captions, else three runs
// of ids from all over the vocabulary.
Result<std::vector<std::vector<int32_t>>> probe_ids(const Checkpoint& checkpoint);

// An adapter to be read with a model.
struct AttachedAdapter {
  const LoraAdapter* adapter = nullptr;
  float strength = 1;
};

// With an adapter the reference is base and adapter side by side. One model is in memory at a time.
// kInvalid when they differ in widths, layers or vocabulary.
Result<ModelComparison> compare_models(const Checkpoint& reference, const Checkpoint& changed,
                                       const std::vector<std::vector<int32_t>>& probes,
                                       ThreadPool& pool, const AttachedAdapter& adapter = {});

}  // namespace fastvlm
