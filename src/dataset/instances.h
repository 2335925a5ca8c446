// SPDX-License-Identifier: Apache-2.0
// COCO's instances: which objects stand where in each image. Goals: kinds, boxes and the size of
// the image. Non-goals: masks, keypoints.
#pragma once

#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct Instance {
  std::string kind;   // "person"
  std::string group;  // COCO's supercategory: "animal"
  double x = 0;       // left, top, in pixels
  double y = 0;
  double width = 0;
  double height = 0;
  bool crowd = false;
  double area = 0;  // of the mask; that of the box where the file does not say
};

struct ImageInstances {
  double width = 0;
  double height = 0;
  std::vector<Instance> objects;
  std::string file = {};  // as `file_name` has it; may be empty
};

// By image id.
using Instances = std::unordered_map<std::string, ImageInstances>;

// {"images": […], "annotations": […], "categories": […]}; an image without objects is there too.
// Errors: those of reading the file; kInvalid (not such a file, an annotation's id given twice).
Result<Instances> read_instances(const std::filesystem::path& path);

}  // namespace fastvlm
