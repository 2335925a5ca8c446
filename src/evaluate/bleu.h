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

struct BleuScores {
  Bleu corpus{};
  std::vector<Bleu> images;
};

BleuScores bleu(std::span<const TokenizedImage> images);

}  // namespace fastvlm
