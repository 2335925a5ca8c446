// SPDX-License-Identifier: Apache-2.0
#include "image/preprocess.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstring>
#include <numeric>
#include <string>

#include "base/mapped_file.h"
#include "image/decode.h"
#include "image/resize.h"
#include "support/files.h"

namespace fastvlm {
namespace {

// CRC-32 of the pixels in [3, H, W] order, as tests/goldens/preprocess/index.json has it.
uint32_t planar_crc(const Image& image) {
  std::vector<uint8_t> planes;
  planes.reserve(image.rgb.size());
  for (size_t c = 0; c < 3; ++c) {
    for (size_t i = c; i < image.rgb.size(); i += 3) planes.push_back(image.rgb[i]);
  }
  return static_cast<uint32_t>(crc32(0, planes.data(), static_cast<uInt>(planes.size())));
}

Image filled(int width, int height, uint8_t value) {
  Image image = blank_image(width, height);
  std::fill(image.rgb.begin(), image.rgb.end(), value);
  return image;
}

Image noise(int width, int height, uint32_t seed) {
  Image image = blank_image(width, height);
  for (uint8_t& value : image.rgb) {
    seed = seed * 1'664'525U + 1'013'904'223U;
    value = static_cast<uint8_t>(seed >> 24);
  }
  return image;
}

struct Golden {
  const char* file;
  int width;
  int height;
  int64_t rgb_sum;
  uint32_t pad256;
  uint32_t pad1024;
  uint32_t crop256;  // 0: none
};

// From index.json.
constexpr Golden kGoldens[] = {
    {"landscape.png", 333, 217, 27541430, 618763533, 538732555, 1205249124},
    {"portrait.png", 201, 299, 22673435, 116670307, 2510196909, 1102028929},
    {"tiny.png", 5, 3, 6718, 3314619523, 699341088, 0},
    {"large.png", 1500, 700, 375963171, 3519651206, 3963191444, 3041569630},
    {"rgba.png", 260, 187, 17877215, 3366132489, 3496352909, 1827759692},
    {"gray.png", 151, 151, 8525103, 3155859714, 367669500, 3155859714},
};

class PreprocessGolden : public testing::TestWithParam<Golden> {};

TEST_P(PreprocessGolden, EqualsTheReferenceByteForByte) {
  const Golden& golden = GetParam();
  const auto image = load_image(test::golden("preprocess") / golden.file);
  ASSERT_TRUE(image.ok()) << image.status().message;
  EXPECT_EQ(image->width, golden.width);
  EXPECT_EQ(image->height, golden.height);
  EXPECT_EQ(std::accumulate(image->rgb.begin(), image->rgb.end(), int64_t{0}), golden.rgb_sum);
  EXPECT_EQ(planar_crc(preprocess(*image, {.size = 256})), golden.pad256);
  EXPECT_EQ(planar_crc(preprocess(*image, {.size = 1024})), golden.pad1024);
  if (golden.crop256 != 0) {
    EXPECT_EQ(planar_crc(preprocess(*image, {.aspect = Aspect::kCrop, .size = 256})),
              golden.crop256);
  }
}

INSTANTIATE_TEST_SUITE_P(All, PreprocessGolden, testing::ValuesIn(kGoldens), [](const auto& test) {
  const std::string file = test.param.file;
  return file.substr(0, file.find('.'));
});

TEST(Preprocess, FloatsAreTheReferenceTable) {
  const auto file = MappedFile::open(test::golden("preprocess") / "rescale_lut_f32.bin");
  ASSERT_TRUE(file.ok());
  ASSERT_EQ(file->bytes().size(), 256 * sizeof(float));
  Image ramp = blank_image(256, 1);
  for (size_t i = 0; i < ramp.rgb.size(); ++i) ramp.rgb[i] = static_cast<uint8_t>(i / 3);
  const std::vector<float> floats = to_floats(ramp, {});
  for (size_t i = 0; i < floats.size(); ++i) {
    float expected = 0;
    std::memcpy(&expected, file->bytes().data() + i / 3 * sizeof(float), sizeof(float));
    ASSERT_EQ(floats[i], expected) << i;
  }
}

TEST(Preprocess, FloatsFollowMeanAndDeviationOfEachChannel) {
  const Image image = filled(1, 1, 255);
  const auto floats = to_floats(image, {.mean = {0.5F, 0.25F, 0.0F}, .std = {0.5F, 0.25F, 2.0F}});
  EXPECT_EQ(floats, (std::vector<float>{1.0F, 3.0F, 0.5F}));
}

// Padding without a canvas must equal padding with one.
TEST(Preprocess, PadEqualsResizeOfThePaddedCanvas) {
  const std::array<uint8_t, 3> background = {10, 200, 77};
  for (const auto& [width, height] : {std::pair{31, 12}, {12, 31}, {1, 40}, {40, 1}, {7, 7}}) {
    const Image image = noise(width, height, 5);
    const int side = std::max(width, height);
    Image canvas = blank_image(side, side);
    for (size_t i = 0; i < canvas.rgb.size(); ++i) canvas.rgb[i] = background[i % 3];
    for (int y = 0; y < height; ++y) {
      std::memcpy(canvas.row(y + (side - height) / 2) + (side - width) / 2 * 3, image.row(y),
                  image.stride());
    }
    for (const int size : {1, 8, 31, 40, 64}) {
      const Image direct = preprocess(image, {.size = size, .background = background});
      EXPECT_EQ(direct.rgb, resize_bicubic(canvas, size, size).rgb) << width << "x" << height;
    }
  }
}

// A crop computed alone must equal the middle of the whole scaled picture.
TEST(Preprocess, CropEqualsTheMiddleOfTheResizedPicture) {
  for (const auto& [width, height] : {std::pair{50, 20}, {20, 50}, {33, 32}, {9, 2}}) {
    const Image image = noise(width, height, 9);
    for (const int size : {4, 20, 37}) {
      const int shorter = std::min(width, height);
      const Image whole = resize_bicubic(image, size * width / shorter, size * height / shorter);
      const Image crop = preprocess(image, {.aspect = Aspect::kCrop, .size = size});
      ASSERT_EQ(crop.width, size);
      ASSERT_EQ(crop.height, size);
      for (int y = 0; y < size; ++y) {
        const uint8_t* expected =
            whole.row(y + (whole.height - size) / 2) + (whole.width - size) / 2 * 3;
        ASSERT_EQ(std::memcmp(crop.row(y), expected, crop.stride()), 0) << y;
      }
    }
  }
}

TEST(Preprocess, BearsExtremeShapes) {
  for (const Aspect aspect : {Aspect::kPad, Aspect::kCrop}) {
    for (const auto& [width, height] : {std::pair{1, 1}, {1, kMaxImageSide}, {kMaxImageSide, 1}}) {
      const Image result = preprocess(filled(width, height, 255), {.aspect = aspect, .size = 64});
      EXPECT_EQ(result.rgb.size(), 64U * 64 * 3);
      const bool all_white = std::all_of(result.rgb.begin(), result.rgb.end(),
                                         [](uint8_t value) { return value == 255; });
      EXPECT_EQ(all_white, aspect == Aspect::kCrop || width == height) << width << "x" << height;
    }
  }
}

TEST(Preprocess, DescribesItself) {
  EXPECT_EQ(describe({}),
            "pad to 1024x1024 on rgb(0, 0, 0), bicubic, mean [0, 0, 0], std [1, 1, 1]");
  EXPECT_EQ(describe({.aspect = Aspect::kCrop, .size = 256, .mean = {0.5F, 0.5F, 0.5F}}),
            "crop to 256x256, bicubic, mean [0.5, 0.5, 0.5], std [1, 1, 1]");
}

TEST(Resize, LeavesAnUnchangedSizeAlone) {
  const Image image = noise(23, 17, 1);
  EXPECT_EQ(resize_bicubic(image, 23, 17).rgb, image.rgb);
}

TEST(Resize, KeepsAFlatPictureFlat) {
  for (const int size : {1, 3, 100, 333}) {
    const Image flat = resize_bicubic(filled(100, 50, 131), size, size);
    EXPECT_EQ(flat.rgb, filled(size, size, 131).rgb) << size;
  }
}

}  // namespace
}  // namespace fastvlm
