// SPDX-License-Identifier: Apache-2.0
// How good a detector's boxes are, by the rules of COCO's evaluation (https://cocodataset.org/
// #detection-eval, and pycocotools where the text leaves a choice). Goals: the figures of a model
// card, comparable to the last digit. Non-goals: masks, keypoints, other sets of thresholds.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "dataset/instances.h"

namespace fastvlm {

struct PredictedBox {
  std::string kind;  // a name of the annotations' categories
  double score = 0;
  double x = 0;  // left, top, in pixels
  double y = 0;
  double width = 0;
  double height = 0;
};

struct DetectionImage {
  std::vector<Instance> truth;
  std::vector<PredictedBox> predicted;
};

// Means over kinds that have objects: 0..1, or -1 where no kind has any.
struct AveragePrecision {
  double mean = -1;    // at IoU 0.50, 0.55, …, 0.95: COCO's AP
  double at_50 = -1;   // at IoU 0.50
  double at_75 = -1;   // at IoU 0.75
  double small = -1;   // objects of less than 32^2 pixels, all IoUs
  double medium = -1;  // 32^2 to 96^2
  double large = -1;   // more
  double recall = -1;  // found of all objects, mean over IoUs: COCO's AR at 100 boxes
  size_t kinds = 0;    // with objects
  size_t objects = 0;  // crowds not counted
};

// At most 100 boxes an image and kind count, the best ones. Equal scores keep the order of the
// images and of the boxes in them; pycocotools takes images by ascending id.
AveragePrecision average_precision(std::span<const DetectionImage> images);

}  // namespace fastvlm
