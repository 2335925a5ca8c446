// SPDX-License-Identifier: Apache-2.0
// From a head's logits to boxes: the distribution over distances, thresholds, and the suppression
// of boxes that overlap a better one of their class, in the order in which Ultralytics does it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fastvlm {

// Left, top, right, bottom, in pixels.
struct Box {
  float x0 = 0.0F;
  float y0 = 0.0F;
  float x1 = 0.0F;
  float y1 = 0.0F;
};

struct BoxCandidate {
  Box box;
  float confidence = 0.0F;  // 0..1
  int class_id = 0;
};

// Intersection over union; 0 where both are empty.
float overlap(const Box& a, const Box& b);

// The box of a cell whose centre lies at (x, y) cells: `logits` [4, bins] are left, top, right and
// bottom; each distance is the mean of 0 .. bins - 1 under their softmax, in cells of `stride`
// pixels.
Box decode_box(const float* logits, int64_t bins, float x, float y, int stride);

// The candidates that stay, in falling confidence: one that overlaps a better one of its class by
// more than `iou` goes. At most `most`.
std::vector<BoxCandidate> suppress(std::vector<BoxCandidate> candidates, float iou, size_t most);

}  // namespace fastvlm
