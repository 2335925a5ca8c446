// SPDX-License-Identifier: Apache-2.0
#include "detect/boxes.h"

#include <algorithm>
#include <cmath>

namespace fastvlm {
namespace {

// More candidates than that come from noise; Ultralytics looks at no more either.
constexpr size_t kMostCandidates = 30'000;

float area(const Box& box) {
  return std::max(box.x1 - box.x0, 0.0F) * std::max(box.y1 - box.y0, 0.0F);
}

float distance(const float* logits, int64_t bins) {
  const float largest = *std::max_element(logits, logits + bins);
  float sum = 0.0F;
  float weighted = 0.0F;
  for (int64_t i = 0; i < bins; ++i) {
    const float weight = std::exp(logits[i] - largest);
    sum += weight;
    weighted += weight * static_cast<float>(i);
  }
  return weighted / sum;
}

}  // namespace

float overlap(const Box& a, const Box& b) {
  const Box common{std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1),
                   std::min(a.y1, b.y1)};
  const float shared = area(common);
  const float both = area(a) + area(b) - shared;
  return both > 0.0F ? shared / both : 0.0F;
}

Box decode_box(const float* logits, int64_t bins, float x, float y, int stride) {
  const auto pixels = static_cast<float>(stride);
  return {(x - distance(logits, bins)) * pixels, (y - distance(logits + bins, bins)) * pixels,
          (x + distance(logits + 2 * bins, bins)) * pixels,
          (y + distance(logits + 3 * bins, bins)) * pixels};
}

std::vector<BoxCandidate> suppress(std::vector<BoxCandidate> candidates, float iou, size_t most) {
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const auto& a, const auto& b) { return a.confidence > b.confidence; });
  if (candidates.size() > kMostCandidates) candidates.resize(kMostCandidates);
  std::vector<BoxCandidate> kept;
  for (const BoxCandidate& candidate : candidates) {
    if (kept.size() == most) break;
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](const BoxCandidate& better) {
      return better.class_id == candidate.class_id && overlap(better.box, candidate.box) > iou;
    });
    if (!covered) kept.push_back(candidate);
  }
  return kept;
}

}  // namespace fastvlm
