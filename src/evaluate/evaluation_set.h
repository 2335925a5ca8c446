// SPDX-License-Identifier: Apache-2.0
// Predictions and references put together, image by image. Goals: every image of both sides is
// scored or named as a problem. Non-goals: scoring.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "dataset/caption_files.h"
#include "evaluate/tokenized.h"

namespace fastvlm {

struct EvaluatedImage {
  std::string id;
  std::string file;
  std::vector<std::string> references;  // as they were written
  std::string candidate;
  std::vector<Tag> tags;
  std::string finish_reason;

  const std::string& name() const { return file.empty() ? id : file; }
};

struct EvaluationSet {
  std::vector<EvaluatedImage> images;  // in the order of the references
  std::vector<std::string> warnings;   // a line each
};

struct PairingOptions {
  bool subset = false;      // references without a prediction are left out, with a warning
  bool join_lines = false;  // line ends inside captions count as spaces
};

// The images that `references` have, without candidates. An image without a reference, line ends
// inside captions and captions that are not UTF-8 are errors that list the ids.
Result<EvaluationSet> reference_set(const CaptionFile& references,
                                    const PairingOptions& options = {});

// A prediction belongs to the image with its id; one that names a picture, to the image with that
// file name, or whose number the name ends with (COCO_val2014_000000391895.jpg). Missing and double
// ids, line ends inside captions and captions that are not UTF-8 are errors that list the ids.
Result<EvaluationSet> pair_captions(const CaptionFile& references, const CaptionFile& predictions,
                                    const PairingOptions& options = {});

// A warning that lists the images whose caption is empty, if there are any.
void warn_of_empty_captions(EvaluationSet& set);

// Replaces the tags of the images that `tags` names; names that the set does not have are an error,
// but for a subset.
Status attach_tags(const CaptionFile& tags, EvaluationSet& set, const PairingOptions& options = {});

// The tokens of the whole set. All references are one stream and all candidates another, in the
// order of the images. With `tokenized` the captions are tokens already.
std::vector<TokenizedImage> tokenize(const EvaluationSet& set, bool tokenized);

// "1, 2, 3 and 4 more"
std::string listed(const std::vector<std::string>& ids);

}  // namespace fastvlm
