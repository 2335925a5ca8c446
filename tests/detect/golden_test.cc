// SPDX-License-Identifier: Apache-2.0
// YOLO11n against another implementation: the network's raw output, and every detection of the
// reference pictures. The weights and pictures are not part of the repository.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "detect/detector.h"
#include "formats/safetensors.h"
#include "image/decode.h"
#include "kernels/dot_matrix.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using test::shared;

const char* const kFusedWeights = "weights/yolo11n/yolo11n_merged_fused.safetensors";

bool is_absent() {
  return !std::filesystem::exists(shared(kFusedWeights)) ||
         !std::filesystem::exists(shared("goldens/yolo11n/detections.json"));
}

Detector load(ThreadPool& pool, Arithmetic arithmetic) {
  const auto weights = read_detector_weights(shared(kFusedWeights));
  EXPECT_TRUE(weights.ok()) << weights.status().message;
  auto detector = Detector::load(*weights, pool, arithmetic);
  EXPECT_TRUE(detector.ok()) << detector.status().message;
  return std::move(*detector);
}

TEST(YoloGolden, RawOutput) {
  if (is_absent()) GTEST_SKIP();
  ThreadPool pool(2);
  const Detector detector = load(pool, Arithmetic::kF32);
  EXPECT_EQ(detector.kind(), "YOLO11n");
  const auto file = SafetensorsFile::open(shared("goldens/yolo11n/network_io.safetensors"));
  ASSERT_TRUE(file.ok());
  const auto planes = to_floats(*file->find("input"), "input");
  const auto expected = to_floats(*file->find("output"), "output");
  ASSERT_TRUE(planes.ok() && expected.ok());
  constexpr size_t kHeight = 96;
  constexpr size_t kWidth = 160;
  constexpr size_t kArea = kHeight * kWidth;
  std::vector<float> pixels(planes->size());
  for (size_t i = 0; i < kArea; ++i) {
    for (size_t c = 0; c < 3; ++c) pixels[3 * i + c] = (*planes)[c * kArea + i];
  }
  constexpr size_t kCells = 315;
  double worst_box = 0.0;
  double worst_score = 0.0;
  size_t at = 0;
  detector.run(pixels.data(), kHeight, kWidth, pool, [&](const HeadOutput& head) {
    for (int64_t cell = 0; cell < head.boxes.pixels(); ++cell, ++at) {
      const Box box = decode_box(head.boxes.data + cell * 64, 16,
                                 static_cast<float>(cell % head.width()) + 0.5F,
                                 static_cast<float>(cell / head.width()) + 0.5F, head.stride);
      const float sides[] = {box.x0, box.y0, box.x1, box.y1};
      for (size_t i = 0; i < 4; ++i) {
        worst_box = std::max(worst_box, std::abs(double{sides[i]} - (*expected)[i * kCells + at]));
      }
      for (size_t c = 0; c < 80; ++c) {
        const double logit = head.scores.data[static_cast<size_t>(cell) * 80 + c];
        worst_score = std::max(worst_score, std::abs(1.0 / (1.0 + std::exp(-logit)) -
                                                     (*expected)[(4 + c) * kCells + at]));
      }
    }
  });
  EXPECT_EQ(at, kCells);
  EXPECT_LE(worst_box, 2e-3);    // pixels
  EXPECT_LE(worst_score, 2e-3);  // of probability
  RecordProperty("worst_box", std::to_string(worst_box));
  RecordProperty("worst_score", std::to_string(worst_score));
}

// The method costs memory, and time where it does not save any.
TEST(YoloGolden, WinogradWhereMapsAreLarge) {
  if (is_absent()) GTEST_SKIP();
  ThreadPool pool(2);
  const auto weights = read_detector_weights(shared(kFusedWeights));
  ASSERT_TRUE(weights.ok()) << weights.status().message;
  const auto fp32 = read_yolo(*weights, pool, Arithmetic::kF32);
  ASSERT_TRUE(fp32.ok()) << fp32.status().message;
  for (size_t level = 0; level < 3; ++level) {
    const ConvLayer& first = fp32->head[level].box.front();
    EXPECT_EQ(std::holds_alternative<WinogradConvolution>(first.conv), level < 2) << level;
  }
  const auto& widening = std::get<Bottleneck>(fp32->backbone[0].csp.blocks.front()).cv2;
  EXPECT_EQ(widening.channels_in, 8);
  EXPECT_TRUE(std::holds_alternative<SpatialConvolution>(widening.conv));
  const auto int8 = read_yolo(*weights, pool, Arithmetic::kInt8);
  ASSERT_TRUE(int8.ok()) << int8.status().message;
  EXPECT_TRUE(std::holds_alternative<SpatialConvolution>(int8->head[0].box.front().conv));
}

struct Found {
  int missing = 0;
  int extra = 0;
  int all = 0;
  double worst_score = 0.0;
  double worst_side = 0.0;
};

// Pairs each expected detection with the nearest of ours of its label.
void compare(const nlohmann::json& expected, std::vector<Detection> found, double most_score,
             double most_side, const std::string& name, Found& sum) {
  for (const auto& want : expected) {
    ++sum.all;
    double best = 1e9;
    size_t best_at = found.size();
    for (size_t i = 0; i < found.size(); ++i) {
      if (found[i].label != want["label"]) continue;
      const float sides[] = {found[i].box.x0, found[i].box.y0, found[i].box.x1, found[i].box.y1};
      double side = 0.0;
      for (size_t s = 0; s < 4; ++s) {
        side = std::max(side, std::abs(double{sides[s]} - want["box_xyxy"][s].get<double>()));
      }
      if (side < best) {
        best = side;
        best_at = i;
      }
    }
    const double score =
        best_at == found.size()
            ? 1.0
            : std::abs(double{found[best_at].confidence} - want["confidence"].get<double>());
    if (best > most_side || score > most_score) {
      ++sum.missing;
      std::cout << name << ": " << want.dump() << ": nearest is " << best << " pixels and " << score
                << " of confidence away\n";
      continue;
    }
    sum.worst_score = std::max(sum.worst_score, score);
    sum.worst_side = std::max(sum.worst_side, best);
    found.erase(found.begin() + static_cast<std::ptrdiff_t>(best_at));
  }
  sum.extra += static_cast<int>(found.size());
}

Found compare_all(Arithmetic arithmetic, double most_score, double most_side) {
  ThreadPool pool(2);
  const Detector detector = load(pool, arithmetic);
  std::ifstream file(shared("goldens/yolo11n/detections.json"));
  const auto golden = nlohmann::json::parse(file);
  DecodeOptions as_stored;
  as_stored.apply_exif = false;
  Found sum;
  EXPECT_EQ(golden["images"].size(), 35U);
  for (const auto& [name, want] : golden["images"].items()) {
    std::filesystem::path path = shared("images/coco_val2017/" + name);
    if (!std::filesystem::exists(path)) path = shared("images/photos/" + name);
    const auto image = load_image(path, as_stored);
    EXPECT_TRUE(image.ok()) << image.status().message;
    if (!image.ok()) continue;
    const auto found = detector.detect(*image, {}, pool);
    EXPECT_TRUE(found.ok()) << found.status().message;
    if (found.ok()) compare(want["detections"], *found, most_score, most_side, name, sum);
  }
  std::cout << sum.all << " detections, " << sum.missing << " missing, " << sum.extra
            << " more; worst " << sum.worst_score << " of confidence, " << sum.worst_side
            << " pixels\n";
  return sum;
}

TEST(YoloGolden, Detections) {
  if (is_absent()) GTEST_SKIP();
  const Found found = compare_all(Arithmetic::kF32, 0.01, 1.5);
  EXPECT_EQ(found.missing, 0);
  EXPECT_EQ(found.extra, 0);
}

// How many of the reference's detections a rounded network finds, near enough to be the same.
TEST(YoloGolden, DetectionsOfNarrowArithmetic) {
  if (is_absent()) GTEST_SKIP();
  if (fastest_arithmetic() == Arithmetic::kF32) {
    GTEST_SKIP() << "without instructions for it this takes a quarter of an hour";
  }
  const Found bf16 = compare_all(Arithmetic::kBf16, 0.1, 20.0);
  EXPECT_LE(bf16.missing, bf16.all / 20);
  EXPECT_LE(bf16.extra, bf16.all / 20);
  const Found int8 = compare_all(Arithmetic::kInt8, 0.1, 20.0);
  EXPECT_LE(int8.missing, int8.all / 10);
  EXPECT_LE(int8.extra, int8.all / 10);
}

}  // namespace
}  // namespace fastvlm
