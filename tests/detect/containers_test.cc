// SPDX-License-Identifier: Apache-2.0
// YOLO11n finds the same objects whichever container its weights come in. The weights and pictures
// are not part of the repository; the .pt and .onnx files are written here.
#include <gtest/gtest.h>

#include <cmath>

#include "detect/detector.h"
#include "image/decode.h"
#include "support/files.h"
#include "support/onnx_file.h"
#include "support/torch_file.h"

namespace fastvlm {
namespace {

using test::shared;

const char* const kWeights = "weights/yolo11n/yolo11n_merged_fused.safetensors";
const char* const kPictures[] = {"images/coco_val2017/000000005001.jpg",
                                 "images/coco_val2017/000000184324.jpg",
                                 "images/photos/coffee.png"};

std::vector<std::vector<Detection>> detections_of(const std::filesystem::path& path,
                                                  const std::vector<Image>& images) {
  ThreadPool pool(2);
  const auto weights = read_detector_weights(path);
  EXPECT_TRUE(weights.ok()) << weights.status().message;
  if (!weights.ok()) return {};
  const auto detector = Detector::load(*weights, pool);
  EXPECT_TRUE(detector.ok()) << detector.status().message;
  if (!detector.ok()) return {};
  EXPECT_EQ(detector->kind(), "YOLO11n");
  std::vector<std::vector<Detection>> all;
  for (const Image& image : images) {
    auto found = detector->detect(image, {}, pool);
    EXPECT_TRUE(found.ok()) << found.status().message;
    all.push_back(std::move(*found));
  }
  return all;
}

bool same(const Detection& a, const Detection& b, double score, double pixels) {
  const auto near = [&](float x, float y) { return std::abs(double{x} - double{y}) <= pixels; };
  return a.class_id == b.class_id && a.label == b.label &&
         std::abs(double{a.confidence} - double{b.confidence}) <= score &&
         near(a.box.x0, b.box.x0) && near(a.box.y0, b.box.y0) && near(a.box.x1, b.box.x1) &&
         near(a.box.y1, b.box.y1);
}

TEST(DetectorContainers, GiveTheSameDetections) {
  if (!std::filesystem::exists(shared(kWeights))) GTEST_SKIP();
  std::vector<Image> images;
  for (const char* picture : kPictures) {
    if (!std::filesystem::exists(shared(picture))) GTEST_SKIP();
    auto image = load_image(shared(picture));
    ASSERT_TRUE(image.ok());
    images.push_back(std::move(*image));
  }
  auto weights = read_detector_weights(shared(kWeights));
  ASSERT_TRUE(weights.ok()) << weights.status().message;
  weights->class_names = coco_names();
  const test::TemporaryFolder folder;
  test::TorchFileWriter(test::TorchType::kF32).write(*weights, folder / "model.pt");
  test::TorchFileWriter(test::TorchType::kF16, true).write(*weights, folder / "ema.pt");
  test::write_onnx(*weights, folder / "plain.onnx");
  test::write_onnx(*weights, folder / "renamed.onnx", {.half = false, .renamed = true});
  const auto expected = detections_of(shared(kWeights), images);
  ASSERT_EQ(expected.size(), std::size(kPictures));
  for (const char* file : {"model.pt", "plain.onnx", "renamed.onnx"}) {
    const auto found = detections_of(folder / file, images);
    ASSERT_EQ(found.size(), expected.size()) << file;
    for (size_t i = 0; i < expected.size(); ++i) {
      ASSERT_EQ(found[i].size(), expected[i].size()) << file << ", " << kPictures[i];
      for (size_t d = 0; d < expected[i].size(); ++d) {
        EXPECT_TRUE(same(found[i][d], expected[i][d], 0, 0)) << file << ", " << kPictures[i];
      }
    }
  }
  // Halves move scores a little; an object near the threshold may come or go.
  const auto halves = detections_of(folder / "ema.pt", images);
  ASSERT_EQ(halves.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    for (const Detection& object : expected[i]) {
      if (object.confidence < 0.27F) continue;
      EXPECT_TRUE(
          std::any_of(halves[i].begin(), halves[i].end(),
                      [&](const Detection& other) { return same(object, other, 0.01, 1.5); }))
          << kPictures[i] << ": " << object.label;
    }
  }
}

}  // namespace
}  // namespace fastvlm
