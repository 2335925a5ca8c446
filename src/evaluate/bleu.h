// SPDX-License-Identifier: Apache-2.0
// BLEU-1 to BLEU-4 (Papineni et al., 2002) as coco-caption computes it: corpus scores from summed
// counts, the closest reference length (of two equally close the shorter), and a guard of 1e-15 /
// 1e-9 in every ratio, so that no score is exactly 0 or 1 and an image without a common 4-gram
// still has a tiny BLEU-4.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "evaluate/ngrams.h"
#include "evaluate/tokenized.h"

namespace fastvlm {

using Bleu = std::array<double, kNgramSizes>;  // BLEU-1 .. BLEU-4

// What one image, or a corpus of them, adds to the ratios.
struct BleuCounts {
  double candidate_length = 0;
  double reference_length = 0;
  std::array<double, kNgramSizes> correct{};
  std::array<double, kNgramSizes> guessed{};

  void add(const BleuCounts& other);
};

std::vector<BleuCounts> bleu_counts(std::span<const TokenizedImage> images);  // one an image
Bleu bleu_score(const BleuCounts& counts);

}  // namespace fastvlm
