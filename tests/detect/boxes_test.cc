// SPDX-License-Identifier: Apache-2.0
#include "detect/boxes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "detect/detector.h"
#include "detect/letterbox.h"
#include "image/resize.h"

namespace fastvlm {
namespace {

TEST(Boxes, DistancesAreTheMeanOfTheirDistribution) {
  float logits[4 * 4] = {};
  logits[0] = 100.0F;      // left: 0
  logits[4 + 3] = 100.0F;  // top: 3
  // right: even over 0..3; bottom: two of them
  logits[12] = logits[13] = 100.0F;
  const Box box = decode_box(logits, 4, 2.5F, 4.5F, 8);
  EXPECT_FLOAT_EQ(box.x0, 20.0F);
  EXPECT_FLOAT_EQ(box.y0, 12.0F);
  EXPECT_FLOAT_EQ(box.x1, 32.0F);
  EXPECT_FLOAT_EQ(box.y1, 40.0F);
}

TEST(Boxes, Overlap) {
  EXPECT_FLOAT_EQ(overlap({0, 0, 2, 2}, {0, 0, 2, 2}), 1.0F);
  EXPECT_FLOAT_EQ(overlap({0, 0, 2, 2}, {1, 0, 3, 2}), 1.0F / 3.0F);
  EXPECT_EQ(overlap({0, 0, 2, 2}, {2, 0, 3, 2}), 0.0F);
  EXPECT_EQ(overlap({1, 1, 1, 1}, {1, 1, 1, 1}), 0.0F);
}

TEST(Boxes, SuppressionKeepsWhatNothingBetterCovers) {
  std::minstd_rand engine(3);
  const auto random = [&] { return static_cast<float>(engine() % 1000); };
  std::vector<BoxCandidate> all;
  for (int i = 0; i < 400; ++i) {
    const float x = random() / 10.0F;
    const float y = random() / 10.0F;
    all.push_back({{x, y, x + 20.0F + random() / 50.0F, y + 20.0F + random() / 50.0F},
                   random() / 1000.0F,
                   static_cast<int>(engine() % 3)});
  }
  const auto kept = suppress(all, 0.5F, 1000);
  ASSERT_FALSE(kept.empty());
  EXPECT_LT(kept.size(), all.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    if (i > 0) {
      EXPECT_LE(kept[i].confidence, kept[i - 1].confidence);
    }
    for (size_t j = 0; j < i; ++j) {
      EXPECT_FALSE(kept[i].class_id == kept[j].class_id &&
                   overlap(kept[i].box, kept[j].box) > 0.5F);
    }
  }
  // Each one that went is covered by one that stayed, of its class and at least as good.
  for (const BoxCandidate& candidate : all) {
    EXPECT_TRUE(std::any_of(kept.begin(), kept.end(), [&](const BoxCandidate& k) {
      return k.class_id == candidate.class_id && k.confidence >= candidate.confidence &&
             overlap(k.box, candidate.box) > 0.5F;
    }));
  }
  EXPECT_EQ(suppress(all, 0.5F, 5).size(), 5U);
  EXPECT_EQ(suppress(all, 1.0F, 1000).size(), all.size());
}

TEST(Letterbox, AsUltralyticsPlansIt) {
  const Letterbox landscape = plan_letterbox(640, 427, 640, false);
  EXPECT_EQ(landscape.width, 640);
  EXPECT_EQ(landscape.height, 448);
  EXPECT_EQ(landscape.top, 10);  // of 21: the smaller half first
  EXPECT_EQ(landscape.left, 0);
  const Letterbox portrait = plan_letterbox(1080, 1920, 640, false);
  EXPECT_EQ(portrait.scaled_width, 360);
  EXPECT_EQ(portrait.width, 384);
  EXPECT_EQ(portrait.left, 12);
  const Letterbox square = plan_letterbox(1080, 1920, 640, true);
  EXPECT_EQ(square.width, 640);
  EXPECT_EQ(square.left, 140);
  const Letterbox grown = plan_letterbox(10, 20, 64, false);
  EXPECT_EQ(grown.scaled_height, 64);
  EXPECT_EQ(grown.scaled_width, 32);
  const Letterbox thread = plan_letterbox(60'000, 1, 640, false);
  EXPECT_EQ(thread.scaled_height, 1);
  EXPECT_EQ(thread.height, 32);
}

TEST(Letterbox, GreyAroundAndBoxesBack) {
  Image image = blank_image(20, 10);
  std::fill(image.rgb.begin(), image.rgb.end(), uint8_t{200});
  const Letterbox plan = plan_letterbox(20, 10, 64, true);
  const Image out = apply_letterbox(image, plan);
  EXPECT_EQ(out.row(0)[0], 114);
  EXPECT_EQ(out.row(15)[0], 114);
  EXPECT_EQ(out.row(16)[0], 200);
  EXPECT_EQ(out.row(47)[3 * 63], 200);
  EXPECT_EQ(out.row(48)[0], 114);
  const Box box = box_in_picture({-5, 16, 32, 48}, plan, 20, 10);
  EXPECT_FLOAT_EQ(box.x0, 0.0F);
  EXPECT_FLOAT_EQ(box.y0, 0.0F);
  EXPECT_FLOAT_EQ(box.x1, 10.0F);
  EXPECT_FLOAT_EQ(box.y1, 10.0F);
}

// A row of values, grey.
Image grey(int width, int height, const std::vector<uint8_t>& values) {
  Image image = blank_image(width, height);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = values[i / 3];
  return image;
}

std::vector<int> reds(const Image& image) {
  std::vector<int> values;
  for (size_t i = 0; i < image.rgb.size(); i += 3) values.push_back(image.rgb[i]);
  return values;
}

TEST(LinearResize, WeightsAndEdges) {
  // Centres of the outputs lie at -0.25, 0.25, 0.75, 1.25, ... of the inputs.
  EXPECT_EQ(reds(resize_linear(grey(2, 1, {0, 100}), 4, 1)), (std::vector<int>{0, 25, 75, 100}));
  EXPECT_EQ(reds(resize_linear(grey(1, 2, {0, 100}), 1, 4)), (std::vector<int>{0, 25, 75, 100}));
  EXPECT_EQ(reds(resize_linear(grey(4, 1, {0, 30, 60, 90}), 3, 1)), (std::vector<int>{5, 45, 85}));
  EXPECT_EQ(reds(resize_linear(grey(1, 1, {77}), 3, 2)), std::vector<int>(6, 77));
}

TEST(LinearResize, HalvingTakesMeansOfFour) {
  EXPECT_EQ(reds(resize_linear(grey(4, 2, {0, 1, 8, 8, 1, 0, 8, 9}), 2, 1)),
            (std::vector<int>{1, 8}));
}

TEST(CocoNames, NumbersOfTheDataSet) {
  ASSERT_EQ(coco_names().size(), 80U);
  EXPECT_EQ(coco_category(0), 1);
  EXPECT_EQ(coco_category(11), 13);  // stop sign
  EXPECT_EQ(coco_category(24), 27);  // backpack
  EXPECT_EQ(coco_category(60), 67);  // dining table
  EXPECT_EQ(coco_category(61), 70);  // toilet
  EXPECT_EQ(coco_category(79), 90);  // toothbrush
}

}  // namespace
}  // namespace fastvlm
