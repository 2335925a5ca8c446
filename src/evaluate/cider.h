// SPDX-License-Identifier: Apache-2.0
// CIDEr (Vedantam et al., 2015) in the form that everybody publishes under this name, CIDEr-D:
// clipped tf-idf similarity of one- to four-grams, a Gaussian penalty on the difference in length
// with sigma 6, times 10. The length of that penalty is the number of bigrams, as in coco-caption.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "evaluate/tokenized.h"

namespace fastvlm {

// In how many images' references each n-gram comes, and of how many images. By default they are
// those of the images that are scored, so that a score depends on the set and is 0 on one image; a
// saved table makes scores of small sets comparable.
struct DocumentFrequencies {
  int64_t images = 0;
  std::unordered_map<std::string, int64_t> ngrams;  // words with a space between them
};

DocumentFrequencies document_frequencies(std::span<const TokenizedImage> images);

// One score an image, mostly within 0 .. 10; the corpus score is their mean.
std::vector<double> cider(std::span<const TokenizedImage> images,
                          const DocumentFrequencies& frequencies);

}  // namespace fastvlm
