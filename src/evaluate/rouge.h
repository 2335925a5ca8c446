// SPDX-License-Identifier: Apache-2.0
// ROUGE-L (Lin, 2004) as coco-caption computes it: the longest common subsequence of words; best
// precision and best recall over the references, which may come from different ones; beta 1.2.
#pragma once

#include <span>
#include <vector>

#include "evaluate/tokenized.h"

namespace fastvlm {

// One score an image. Tokens are parted at spaces only, and an empty caption is one empty token.
std::vector<double> rouge_l(std::span<const TokenizedImage> images);

}  // namespace fastvlm
