// SPDX-License-Identifier: Apache-2.0
// `fastvlm detect --val`: COCO's average precision of what was found.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "dataset/instances.h"
#include "detect/detector.h"
#include "evaluate/average_precision.h"

namespace fastvlm::cli {

// The id that COCO's files have for a picture: its name without folder, extension and, where it is
// a number, leading zeros.
std::string coco_id(const std::string& picture);

// kUsage: two pictures have one id. `option` asks for ids and stands in messages.
Status check_coco_ids(const std::string& option, const std::vector<std::string>& pictures);

// Takes detections picture by picture and scores them against COCO's instances_*.json.
class DetectionScores {
 public:
  // Errors: those of reading the file; kInvalid where it annotates none of the detector's classes.
  static Result<DetectionScores> open(const std::string& instances, const Detector& detector);

  // kInvalid where the file does not list the picture (its name without extension is the id).
  Status add(const std::string& picture, const std::vector<Detection>& detections);

  // Objects whose boxes have no area: nothing can be found there, so they do not count.
  size_t left_out() const { return left_out_; }

  std::string text() const;
  nlohmann::ordered_json json() const;

 private:
  AveragePrecision scored() const;

  std::string file_;
  Instances instances_;
  size_t left_out_ = 0;
  std::map<std::string, DetectionImage> images_;  // by id, as pycocotools goes through them
};

}  // namespace fastvlm::cli
