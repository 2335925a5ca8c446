// SPDX-License-Identifier: Apache-2.0
// From COCO's pictures to the samples of a data set. Goals: the same seed, the same samples in the
// same splits, whatever failed in between; no picture stands in two splits, under whatever name.
// Non-goals: asking teachers.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "caption/tags.h"
#include "dataset/coco.h"
#include "dataset/dataset_folder.h"
#include "dataset/picture_look.h"
#include "image/image.h"

namespace fastvlm {

struct ChooseOptions {
  std::filesystem::path images;
  std::optional<size_t> limit = std::nullopt;
  uint64_t seed = 0;
  SplitShares shares = kUsualShares;
  bool need_captions = false;
};

struct ChosenPicture {
  CocoPicture picture;
  std::filesystem::path path;
  std::string image;   // its name below the folder of pictures
  std::string sha256;  // of the file
  size_t split = 0;
};

struct PictureChoice {
  std::vector<ChosenPicture> pictures;  // in the order of the seed
  size_t missing = 0;                   // not in the folder
  size_t without_captions = 0;
  size_t doubled = 0;  // the same file as a picture before it
};

// Looks at pictures in the order of the seed until there are enough. Errors: kNotFound (none of
// them is in the folder), those of reading a file.
Result<PictureChoice> choose_pictures(const std::vector<CocoPicture>& pictures,
                                      const ChooseOptions& options);

// One tag a marked object, the largest first, as a detector would see them: no crowds, no specks,
// at most 20.
std::vector<Tag> tags_of_annotations(const CocoPicture& picture);

struct SampleFailure {
  std::string image;
  Status why;
};

// The sample of a picture, upright, but for its answer.
DatasetSample question_sample(const ChosenPicture& chosen, const std::vector<Tag>& tags,
                              std::string_view prompt);

}  // namespace fastvlm
