// SPDX-License-Identifier: Apache-2.0
#include "image/draw.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "image/decode.h"
#include "image/encode.h"

namespace fastvlm {
namespace {

Rgb pixel(const Image& image, int x, int y) {
  const uint8_t* at = image.row(y) + 3 * x;
  return {at[0], at[1], at[2]};
}

int count(const Image& image, Rgb color) {
  int found = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) found += pixel(image, x, y) == color ? 1 : 0;
  }
  return found;
}

TEST(Draw, FramesLieInsideOfTheBox) {
  Image image = blank_image(640, 480);
  draw_boxes(image, {{{100, 50, 200, 150, "", 3}}});
  const Rgb color = class_color(3);
  EXPECT_EQ(pixel(image, 100, 50), color);
  EXPECT_EQ(pixel(image, 199, 149), color);
  EXPECT_EQ(pixel(image, 200, 150), (Rgb{0, 0, 0}));
  EXPECT_EQ(pixel(image, 102, 52), (Rgb{0, 0, 0}));
  EXPECT_EQ(count(image, color), 4 * 2 * 98);
}

TEST(Draw, AnyBoxMayBeDrawn) {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const double far = std::numeric_limits<double>::infinity();
  for (const auto& [width, height] : {std::pair(1, 1), {3, 200}, {200, 3}, {640, 480}}) {
    Image image = blank_image(width, height);
    const std::vector<LabelledBox> boxes = {{0, 0, 0, 0, "zero", 0},
                                            {-50, -50, 1e9, 1e9, "outside", 1},
                                            {5, 5, 1, 1, "turned", 2},
                                            {none, 0, far, -far, "no numbers", 3},
                                            {0, 0, 2, 2, std::string(500, 'W'), 4},
                                            {0, 0, 2, 2, "\xff\xc3\xe4\xb8\x96\n", 79}};
    draw_boxes(image, boxes);
    EXPECT_EQ(image.width, width);
  }
}

TEST(Draw, LabelsStayInsideAndApart) {
  // A column of equal boxes at the top: all labels want the same place.
  Image image = blank_image(640, 480);
  std::vector<LabelledBox> boxes;
  for (int i = 0; i < 5; ++i) boxes.push_back({500, 0, 640, 200, "person 0.90", 3 * i});
  draw_boxes(image, boxes);
  const Lettering& letters = Lettering::of_size(14);
  const int area = letters.height() * letters.width("person 0.90");
  for (int i = 0; i < 5; ++i) {
    EXPECT_GT(count(image, class_color(3 * i)), area / 3) << i;  // less the ink
  }
}

TEST(Draw, InkIsReadOnEveryColor) {
  std::set<Rgb> colors;
  for (int number = 0; number < 80; ++number) {
    const Rgb color = class_color(number);
    EXPECT_TRUE(colors.insert(color).second) << number;
    EXPECT_NE(color, (Rgb{0, 0, 0}));
  }
}

TEST(Lettering, SizesAndUnknownLetters) {
  EXPECT_LT(Lettering::of_size(1).height(), Lettering::of_size(20).height());
  EXPECT_EQ(&Lettering::of_size(20.5), &Lettering::of_size(20));
  EXPECT_GT(Lettering::of_size(1e9).height(), 72);
  const Lettering& letters = Lettering::of_size(20);
  EXPECT_EQ(letters.width("ab"), letters.width("a") + letters.width("b"));
  EXPECT_EQ(letters.width("\xC3\xA9"), letters.width("e"));                     // é
  EXPECT_EQ(letters.width("\xE4\xB8\x96"), letters.width("\xF0\x9F\x98\x80"));  // boxes
  Image image = blank_image(200, 40);
  letters.draw(image, 2, 2, "I", {255, 255, 255});
  EXPECT_GT(count(image, {255, 255, 255}), 20);
}

TEST(Encode, PicturesComeBack) {
  Image image = blank_image(33, 17);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i / 3);
  const auto png = encode_png(image, "x.png");
  ASSERT_TRUE(png.ok()) << png.status().message;
  const auto same = decode_image(std::as_bytes(std::span(*png)), "x.png");
  ASSERT_TRUE(same.ok()) << same.status().message;
  EXPECT_EQ(same->rgb, image.rgb);
  const auto jpeg = encode_jpeg(image, "x.jpg");
  ASSERT_TRUE(jpeg.ok()) << jpeg.status().message;
  const auto close = decode_image(std::as_bytes(std::span(*jpeg)), "x.jpg");
  ASSERT_TRUE(close.ok()) << close.status().message;
  ASSERT_EQ(close->rgb.size(), image.rgb.size());
  for (size_t i = 0; i < image.rgb.size(); ++i) {
    EXPECT_NEAR(close->rgb[i], image.rgb[i], 12) << i;
  }
  EXPECT_FALSE(encode_jpeg({0, 0, {}}, "x.jpg").ok());
  EXPECT_FALSE(encode_png({70'000, 1, std::vector<uint8_t>(210'000)}, "x.png").ok());
}

}  // namespace
}  // namespace fastvlm
