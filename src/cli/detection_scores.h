// SPDX-License-Identifier: Apache-2.0
// `fastvlm detect --val`: COCO's average precision of what was found.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/result.h"
#include "detect/detector.h"
#include "evaluate/average_precision.h"
#include "evaluate/instances.h"

namespace fastvlm::cli {

// Takes detections picture by picture and scores them against COCO's instances_*.json.
class DetectionScores {
 public:
  // Errors: those of reading the file; kInvalid where it annotates none of the detector's classes.
  static Result<DetectionScores> open(const std::string& instances, const Detector& detector);

  // kInvalid where the file does not list the picture (its name without extension is the id).
  Status add(const std::string& picture, const std::vector<Detection>& detections);

  std::string text() const;
  nlohmann::ordered_json json() const;

 private:
  AveragePrecision scored() const;

  std::string file_;
  Instances instances_;
  std::map<std::string, DetectionImage> images_;  // by id, as pycocotools goes through them
};

}  // namespace fastvlm::cli
