// SPDX-License-Identifier: Apache-2.0
// Captions for a whole set of pictures. Goals: each caption is kept as soon as it is made, a run
// that was interrupted goes on, a picture that fails is named and stops nothing. Non-goals: scores.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "caption/engine.h"
#include "evaluate/evaluation_set.h"
#include "image/decode.h"

namespace fastvlm::cli {

struct CaptionSetOptions {
  std::filesystem::path pictures;  // the folder that the set's file names are looked up in
  std::filesystem::path keep;      // JSON lines, as `caption --json` writes them; empty: none
  DecodeOptions decode;
  CaptionRequest request;  // its tags are those of each image
};

// Gives every image of the set its candidate. Captions that `keep` holds already are not made
// again; a file whose captions were made otherwise (another model, prompt, precision, tags) is an
// error. Images that fail are reported on stderr, taken out of the set with a warning, and counted.
// Nothing captioned at all is an error.
Result<size_t> caption_set(const std::shared_ptr<const Engine>& engine, ThreadPool& pool,
                           const CaptionSetOptions& options, EvaluationSet& set);

}  // namespace fastvlm::cli
