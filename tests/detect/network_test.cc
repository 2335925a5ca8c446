// SPDX-License-Identifier: Apache-2.0
// Networks of a few channels: what the names and shapes of the tensors decide.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "detect/detector.h"
#include "support/tiny_detector.h"

namespace fastvlm {
namespace {

using test::TinyDetector;
using testing::HasSubstr;

Image noise(int width, int height) {
  std::minstd_rand engine(9);
  Image image = blank_image(width, height);
  for (uint8_t& value : image.rgb) value = static_cast<uint8_t>(engine() >> 8);
  return image;
}

std::vector<float> outputs(TinyDetector tiny, int threads, Arithmetic arithmetic) {
  ThreadPool pool(threads);
  const auto detector = Detector::load(tiny.weights(), pool, arithmetic);
  EXPECT_TRUE(detector.ok()) << detector.status().message;
  std::minstd_rand engine(9);
  std::vector<float> pixels(64 * 96 * 3);
  for (float& value : pixels) value = static_cast<float>(engine() >> 8) / 8388608.0F;
  std::vector<float> all;
  for (int i = 0; i < 2; ++i) {  // the second time in memory that the first has used
    all.clear();
    detector->run(pixels.data(), 64, 96, pool, [&](const HeadOutput& head) {
      EXPECT_EQ(head.width() * head.stride, 96);
      for (const Map& map : {head.boxes, head.scores}) {
        all.insert(all.end(), map.data, map.data + map.pixels() * map.channels);
      }
    });
  }
  return all;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(double{a[i]} - double{b[i]}));
  }
  return largest;
}

TEST(Network, BatchNormsAreFolded) {
  for (const bool eleven : {false, true}) {
    const auto fused = outputs(TinyDetector(eleven, false, 5), 1, Arithmetic::kF32);
    const auto normed = outputs(TinyDetector(eleven, true, 5), 1, Arithmetic::kF32);
    EXPECT_LE(largest_difference(fused, normed), 1e-4) << eleven;
    EXPECT_GT(largest_difference(fused, std::vector<float>(fused.size())), 0.1) << eleven;
  }
}

TEST(Network, ThreadsDoNotShow) {
  for (const Arithmetic arithmetic : {Arithmetic::kF32, Arithmetic::kBf16, Arithmetic::kInt8}) {
    for (const bool eleven : {false, true}) {
      const auto one = outputs(TinyDetector(eleven, false, 5), 1, arithmetic);
      EXPECT_EQ(one, outputs(TinyDetector(eleven, false, 5), 3, arithmetic));
    }
  }
}

TEST(Network, NarrowArithmeticIsClose) {
  for (const bool eleven : {false, true}) {
    const auto exact = outputs(TinyDetector(eleven, false, 5), 2, Arithmetic::kF32);
    EXPECT_LE(
        largest_difference(exact, outputs(TinyDetector(eleven, false, 5), 2, Arithmetic::kBf16)),
        0.1);
    EXPECT_LE(
        largest_difference(exact, outputs(TinyDetector(eleven, false, 5), 2, Arithmetic::kInt8)),
        0.3);
  }
}

TEST(Maps, WhatComesBackIsJoined) {
  MapStore store;
  OwnedMap first(store, 4, 4, 16);
  OwnedMap second(store, 4, 4, 16);
  const OwnedMap third(store, 4, 4, 16);
  float* const begin = first->data;
  EXPECT_EQ(second->data, begin + 256);
  EXPECT_EQ(store.most_bytes(), 3 * 1024);
  second.give_back();
  const OwnedMap small(store, 2, 2, 16);  // into the gap, not behind the third
  EXPECT_EQ(small->data, begin + 256);
  first = OwnedMap(store, 2, 2, 16);  // into what is left of it; then the first one's goes
  EXPECT_EQ(first->data, begin + 256 + 64);
  first.give_back();
  EXPECT_EQ(first->data, nullptr);
  const OwnedMap between(store, 4, 4, 16);
  EXPECT_EQ(between->data, begin);
  EXPECT_EQ(store.most_bytes(), 3 * 1024);
}

// Two neighbours at a time, not all maps together: here the pixels and the stem's output.
TEST(Network, MapsGoWhenTheyAreRead) {
  ThreadPool pool(2);
  for (const bool eleven : {false, true}) {
    TinyDetector tiny(eleven, false, 5);
    const auto layers = read_yolo(tiny.weights(), pool, Arithmetic::kF32);
    ASSERT_TRUE(layers.ok()) << layers.status().message;
    MapStore store;
    OwnedMap pixels(store, 256, 256, 3);
    std::fill_n(pixels->data, 256 * 256 * 3, 0.5F);
    run_yolo(*layers, std::move(pixels), store, pool, [](const HeadOutput&) {});
    EXPECT_EQ(store.most_bytes(), (256 * 256 * 3 + 128 * 128 * 4) * 4) << eleven;
  }
}

TEST(Network, KindsAndNames) {
  ThreadPool pool(1);
  TinyDetector eight(false, false, 80);
  const auto detector = Detector::load(eight.weights(), pool);
  ASSERT_TRUE(detector.ok()) << detector.status().message;
  EXPECT_EQ(detector->kind(), "YOLOv8");
  EXPECT_EQ(detector->class_id("dog"), 16);
  EXPECT_EQ(detector->class_id("dragon"), -1);
  TinyDetector eleven(true, true, 3);
  eleven.weights().class_names = {"cup", "spoon", " "};
  const auto named = Detector::load(eleven.weights(), pool);
  ASSERT_TRUE(named.ok()) << named.status().message;
  EXPECT_EQ(named->kind(), "YOLO11");
  EXPECT_THAT(named->names(), testing::ElementsAre("cup", "spoon", "class 2"));
}

TEST(Network, DetectionsLieInThePicture) {
  ThreadPool pool(2);
  TinyDetector tiny(true, false, 4);
  const auto detector = Detector::load(tiny.weights(), pool);
  ASSERT_TRUE(detector.ok());
  DetectOptions options;
  options.confidence = 0.0F;
  options.size = 64;
  const auto found = detector->detect(noise(50, 30), options, pool);
  ASSERT_TRUE(found.ok()) << found.status().message;
  ASSERT_FALSE(found->empty());
  for (const Detection& d : *found) {
    EXPECT_GE(d.box.x0, 0.0F);
    EXPECT_LE(d.box.x1, 50.0F);
    EXPECT_GE(d.box.y0, 0.0F);
    EXPECT_LE(d.box.y1, 30.0F);
  }
  options.classes = {2};
  const auto some = detector->detect(noise(50, 30), options, pool);
  ASSERT_TRUE(some.ok());
  for (const Detection& d : *some) EXPECT_EQ(d.class_id, 2);
  options.size = 65;
  EXPECT_EQ(detector->detect(noise(50, 30), options, pool).status().code, Code::kUsage);
}

Status refused(const std::function<void(DetectorWeights&)>& spoil) {
  ThreadPool pool(1);
  TinyDetector tiny(true, true, 5);
  spoil(tiny.weights());
  return Detector::load(tiny.weights(), pool).status();
}

TEST(Network, WrongTensorsAreNamed) {
  Status status = refused([](DetectorWeights& w) { w.tensors.erase("model.4.cv1.bn.bias"); });
  EXPECT_EQ(status.code, Code::kNotFound);
  EXPECT_THAT(status.message, HasSubstr("tiny.safetensors: model.4.cv1.bn.bias: no such tensor"));
  status = refused([](DetectorWeights& w) { w.tensors["model.3.conv.weight"].shape[1] = 7; });
  EXPECT_THAT(status.message, HasSubstr("model.3.conv.weight: expected shape [outputs, 8, 3, 3]"));
  status = refused([](DetectorWeights& w) { w.tensors["model.3.conv.weight"].values.pop_back(); });
  EXPECT_EQ(status.code, Code::kInvalid);
  status = refused(
      [](DetectorWeights& w) { w.tensors["model.3.bn.running_var"].values[0] = std::nanf(""); });
  EXPECT_THAT(status.message, HasSubstr("expected variances of at least 0"));
  status = refused([](DetectorWeights& w) { w.tensors["model.23.cv4.0.0.conv.weight"] = {}; });
  EXPECT_EQ(status.code, Code::kUnsupported);
  EXPECT_THAT(status.message, HasSubstr("model.23.cv4.0.0.conv.weight"));
  status = refused([](DetectorWeights& w) { w.class_names = {"cup", "spoon"}; });
  EXPECT_THAT(status.message, HasSubstr("tiny.safetensors: names: expected"));
  status = refused([](DetectorWeights& w) { w.tensors.clear(); });
  EXPECT_EQ(status.code, Code::kUnsupported);
}

TEST(Network, NumbersThatAreNoneAreAnError) {
  ThreadPool pool(1);
  TinyDetector tiny(true, false, 5);
  for (float& v : tiny.weights().tensors["model.23.cv3.0.2.bias"].values) v = std::nanf("");
  const auto detector = Detector::load(tiny.weights(), pool);
  ASSERT_TRUE(detector.ok());
  DetectOptions options;
  options.size = 64;
  EXPECT_EQ(detector->detect(noise(50, 30), options, pool).status().code, Code::kInvalid);
}

}  // namespace
}  // namespace fastvlm
