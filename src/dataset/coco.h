// SPDX-License-Identifier: Apache-2.0
// COCO's pictures with what people wrote about them and marked in them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataset/instances.h"

namespace fastvlm {

struct CocoPicture {
  std::string id;    // "391895"
  std::string file;  // "000000391895.jpg"
  double width = 0;  // in pixels
  double height = 0;
  std::vector<std::string> captions;  // by people, in the order of the file
  std::vector<Instance> objects;
};

// The pictures of `instances` in the order of their files' names, with their captions where
// `captions` (may be empty) has some. Errors: those of read_instances() and read_captions();
// kInvalid: no pictures.
Result<std::vector<CocoPicture>> read_coco(const std::filesystem::path& instances,
                                           const std::filesystem::path& captions);

}  // namespace fastvlm
