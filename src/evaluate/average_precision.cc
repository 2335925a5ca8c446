// SPDX-License-Identifier: Apache-2.0
#include "evaluate/average_precision.h"

#include <algorithm>
#include <array>
#include <limits>
#include <numeric>
#include <set>

namespace fastvlm {
namespace {

constexpr size_t kMostBoxes = 100;  // an image and kind
constexpr size_t kThresholds = 10;  // IoU 0.50 + 0.05 i
constexpr size_t kRecalls = 101;    // 0, 0.01, …, 1

struct AreaRange {
  double least;
  double most;
};
constexpr std::array<AreaRange, 4> kAreas = {
    {{0, 1e10}, {0, 32 * 32}, {32 * 32, 96 * 96}, {96 * 96, 1e10}}};

bool outside(double area, const AreaRange& range) {
  return area < range.least || area > range.most;
}

// A box of one kind in one image, and what became of it at each threshold.
struct Outcome {
  double score = 0;
  std::array<bool, kThresholds> matched{};
  std::array<bool, kThresholds> ignored{};
};

// IoU; with a crowd it is the share of the box that lies in the crowd.
double iou(const PredictedBox& box, const Instance& object) {
  const double width =
      std::min(box.x + box.width, object.x + object.width) - std::max(box.x, object.x);
  const double height =
      std::min(box.y + box.height, object.y + object.height) - std::max(box.y, object.y);
  if (width <= 0 || height <= 0) return 0;
  const double both = width * height;
  const double box_area = box.width * box.height;
  return both / (object.crowd ? box_area : box_area + object.width * object.height - both);
}

// The boxes and objects of one kind in one image; boxes by falling score.
struct Pairing {
  std::vector<PredictedBox> boxes;
  std::vector<Instance> objects;
};

Pairing pair_up(const DetectionImage& image, const std::string& kind) {
  Pairing pairing;
  for (const PredictedBox& box : image.predicted) {
    if (box.kind == kind) pairing.boxes.push_back(box);
  }
  for (const Instance& object : image.truth) {
    if (object.kind == kind) pairing.objects.push_back(object);
  }
  std::stable_sort(pairing.boxes.begin(), pairing.boxes.end(),
                   [](const PredictedBox& a, const PredictedBox& b) { return a.score > b.score; });
  if (pairing.boxes.size() > kMostBoxes) pairing.boxes.resize(kMostBoxes);
  return pairing;
}

// Objects that count come first; the others (crowds, objects of another size) may take a box but
// neither reward nor punish it. Answers where the others begin.
size_t ignored_last(std::vector<Instance>& objects, const AreaRange& range) {
  const auto counts = [&](const Instance& o) { return !o.crowd && !outside(o.area, range); };
  const auto others = std::stable_partition(objects.begin(), objects.end(), counts);
  return static_cast<size_t>(others - objects.begin());
}

// Gives each box, the best first, the object that it overlaps most among those that are free. An
// ignored object is taken only where no other one fits, and a crowd takes any number of boxes.
void match(const Pairing& pairing, size_t counted, size_t threshold,
           std::vector<Outcome>& outcomes) {
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  std::vector<bool> taken(pairing.objects.size());
  for (size_t b = 0; b < pairing.boxes.size(); ++b) {
    // numpy.linspace(0.5, 0.95, 10), to the last bit.
    double best = threshold + 1 == kThresholds
                      ? 0.95
                      : 0.5 + (0.95 - 0.5) / 9 * static_cast<double>(threshold);
    size_t found = kNone;
    for (size_t o = 0; o < pairing.objects.size(); ++o) {
      if (taken[o] && !pairing.objects[o].crowd) continue;
      if (o >= counted && found < counted) break;
      const double overlap = iou(pairing.boxes[b], pairing.objects[o]);
      if (overlap < best) continue;
      best = overlap;
      found = o;
    }
    if (found == kNone) continue;
    taken[found] = true;
    outcomes[b].matched[threshold] = true;
    outcomes[b].ignored[threshold] = found >= counted;
  }
}

// Precision at 101 recalls, averaged, and the highest recall.
struct Curve {
  double precision = 0;
  double recall = 0;
};

Curve curve(const std::vector<Outcome>& outcomes, size_t threshold, size_t objects) {
  std::vector<double> recalls;
  std::vector<double> precisions;
  size_t right = 0;
  size_t wrong = 0;
  for (const Outcome& outcome : outcomes) {
    if (!outcome.ignored[threshold]) ++(outcome.matched[threshold] ? right : wrong);
    recalls.push_back(static_cast<double>(right) / static_cast<double>(objects));
    // As pycocotools has it, so that a list of ignored boxes alone has precision 0.
    precisions.push_back(static_cast<double>(right) / (static_cast<double>(right + wrong) +
                                                       std::numeric_limits<double>::epsilon()));
  }
  for (size_t i = precisions.size(); i-- > 1;) {
    precisions[i - 1] = std::max(precisions[i - 1], precisions[i]);
  }
  double sum = 0;
  for (size_t r = 0; r < kRecalls; ++r) {
    // numpy.linspace(0, 1, 101): a multiple of the step, but 1 itself at the end.
    const double recall = r + 1 == kRecalls ? 1.0 : static_cast<double>(r) * 0.01;
    const auto at = std::lower_bound(recalls.begin(), recalls.end(), recall);
    if (at != recalls.end()) sum += precisions[static_cast<size_t>(at - recalls.begin())];
  }
  return {sum / kRecalls, recalls.empty() ? 0 : recalls.back()};
}

// One kind, one range of areas.
struct KindScores {
  size_t objects = 0;  // no scores without any
  std::array<Curve, kThresholds> curves;
};

KindScores score_kind(const std::vector<Pairing>& images, const AreaRange& range) {
  KindScores scores;
  std::vector<Outcome> all;
  for (Pairing image : images) {  // a copy: the objects' order breaks ties
    const size_t counted = ignored_last(image.objects, range);
    scores.objects += counted;
    std::vector<Outcome> outcomes(image.boxes.size());
    for (size_t t = 0; t < kThresholds; ++t) match(image, counted, t, outcomes);
    for (size_t b = 0; b < image.boxes.size(); ++b) {
      const PredictedBox& box = image.boxes[b];
      outcomes[b].score = box.score;
      if (!outside(box.width * box.height, range)) continue;
      for (size_t t = 0; t < kThresholds; ++t) {
        if (!outcomes[b].matched[t]) outcomes[b].ignored[t] = true;
      }
    }
    all.insert(all.end(), outcomes.begin(), outcomes.end());
  }
  if (scores.objects == 0) return scores;
  std::stable_sort(all.begin(), all.end(),
                   [](const Outcome& a, const Outcome& b) { return a.score > b.score; });
  for (size_t t = 0; t < kThresholds; ++t) scores.curves[t] = curve(all, t, scores.objects);
  return scores;
}

// A mean that is -1 of nothing.
class Mean {
 public:
  void add(double value) {
    sum_ += value;
    ++count_;
  }
  double value() const { return count_ == 0 ? -1 : sum_ / static_cast<double>(count_); }

 private:
  double sum_ = 0;
  size_t count_ = 0;
};

}  // namespace

AveragePrecision average_precision(std::span<const DetectionImage> images) {
  std::set<std::string> kinds;
  for (const DetectionImage& image : images) {
    for (const Instance& object : image.truth) kinds.insert(object.kind);
  }
  AveragePrecision result;
  std::array<Mean, kAreas.size()> by_area;
  Mean at_50;
  Mean at_75;
  Mean recall;
  for (const std::string& kind : kinds) {
    std::vector<Pairing> pairings;
    for (const DetectionImage& image : images) pairings.push_back(pair_up(image, kind));
    for (size_t a = 0; a < kAreas.size(); ++a) {
      const KindScores scores = score_kind(pairings, kAreas[a]);
      if (scores.objects == 0) continue;
      for (const Curve& curve : scores.curves) by_area[a].add(curve.precision);
      if (a != 0) continue;
      ++result.kinds;
      result.objects += scores.objects;
      at_50.add(scores.curves[0].precision);
      at_75.add(scores.curves[5].precision);
      for (const Curve& curve : scores.curves) recall.add(curve.recall);
    }
  }
  result.mean = by_area[0].value();
  result.small = by_area[1].value();
  result.medium = by_area[2].value();
  result.large = by_area[3].value();
  result.at_50 = at_50.value();
  result.at_75 = at_75.value();
  result.recall = recall.value();
  return result;
}

}  // namespace fastvlm
