// SPDX-License-Identifier: Apache-2.0
#include "image/exif.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <string>

#include "base/mapped_file.h"
#include "image/decode.h"
#include "image/decoding.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using namespace std::string_literals;
using test::big_endian;

std::string little_endian(size_t value, size_t bytes) {
  const std::string reversed = big_endian(value, bytes);
  return {reversed.rbegin(), reversed.rend()};
}

// A TIFF block with two entries, of which the second is the orientation.
std::string tiff(int orientation, bool little) {
  const auto integer = little ? little_endian : big_endian;
  const auto entry = [&](size_t tag, size_t type, size_t value) {
    return integer(tag, 2) + integer(type, 2) + integer(1, 4) + integer(value, 2) + "\0\0"s;
  };
  return (little ? "II*\0"s : "MM\0*"s) + integer(8, 4) + integer(2, 2) + entry(0x0100, 3, 640) +
         entry(0x0112, 3, static_cast<size_t>(orientation)) + integer(0, 4);
}

int parsed(const std::string& block) {
  return exif_orientation(std::as_bytes(std::span(block)));
}

TEST(Exif, ReadsBothByteOrdersWithAndWithoutPrefix) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const bool little : {false, true}) {
      EXPECT_EQ(parsed(tiff(orientation, little)), orientation);
      EXPECT_EQ(parsed("Exif\0\0"s + tiff(orientation, little)), orientation);
    }
  }
}

TEST(Exif, TakesDamagedBlocksForUpright) {
  EXPECT_EQ(parsed(""), 1);
  EXPECT_EQ(parsed(tiff(9, true)), 1);
  EXPECT_EQ(parsed(tiff(0, false)), 1);
  const std::string block = tiff(6, true);
  for (size_t size = 0; size < block.size() - 6; ++size) {
    EXPECT_EQ(parsed(block.substr(0, size)), 1) << size;
  }
  std::string far_away = block;
  far_away.replace(4, 4, "\xFF\xFF\xFF\xFF");
  EXPECT_EQ(parsed(far_away), 1);
  std::string as_long = block;
  as_long[8 + 2 + 12 + 2] = 4;  // the type of the second entry
  EXPECT_EQ(parsed(as_long), 1);
}

// Six pixels, named by their red value:   1 2 3
//                                         4 5 6
Image six() {
  Image image = blank_image(3, 2);
  for (size_t i = 0; i < 6; ++i) image.rgb[i * 3] = static_cast<uint8_t>(i + 1);
  return image;
}

std::string reds(const Image& image) {
  std::string out;
  for (int y = 0; y < image.height; ++y) {
    if (y > 0) out += '/';
    for (int x = 0; x < image.width; ++x) {
      out += static_cast<char>('0' + image.row(y)[static_cast<size_t>(x) * 3]);
    }
  }
  return out;
}

TEST(Exif, TurnsTheEightOrientationsUpright) {
  const char* expected[] = {"123/456",  "321/654",  "654/321",  "456/123",
                            "14/25/36", "41/52/63", "63/52/41", "36/25/14"};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    EXPECT_EQ(reds(oriented(six(), orientation)), expected[orientation - 1]) << orientation;
  }
}

TEST(Exif, TurnsLargePicturesPixelByPixel) {
  Image stored = blank_image(70, 45);
  for (size_t i = 0; i < stored.rgb.size(); ++i) stored.rgb[i] = static_cast<uint8_t>(i * 7 / 3);
  const Image upright = oriented(stored, 6);
  ASSERT_EQ(upright.width, 45);
  ASSERT_EQ(upright.height, 70);
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x) {
      const uint8_t* expected = stored.row(44 - x) + y * 3;
      ASSERT_TRUE(std::equal(expected, expected + 3, upright.row(y) + x * 3)) << x << "," << y;
    }
  }
  EXPECT_EQ(oriented(upright, 8).rgb, stored.rgb);
  for (const int itself : {2, 3, 4, 5, 7}) {
    EXPECT_EQ(oriented(oriented(stored, itself), itself).rgb, stored.rgb) << itself;
  }
}

std::string jpeg_with_exif(const std::string& block) {
  const std::string plain = test::golden_bytes("image/444.jpg");
  const std::string payload = "Exif\0\0"s + block;
  const std::string other = "http://ns.adobe.com/xap/1.0/\0<x/>"s;  // XMP shares the marker
  return plain.substr(0, 2) + "\xFF\xE1" + big_endian(other.size() + 2, 2) + other + "\xFF\xE1" +
         big_endian(payload.size() + 2, 2) + payload + plain.substr(2);
}

// The chunk stands after the pixels, the hardest place to look.
std::string png_with(const std::string& block) {
  const std::string plain = test::golden_bytes("image/rgb.png");
  const std::string body = "eXIf" + block;
  const size_t checksum =
      crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return plain.substr(0, plain.size() - 12) + big_endian(block.size(), 4) + body +
         big_endian(checksum, 4) + plain.substr(plain.size() - 12);
}

// The simple container made an extended one: flags, three reserved bytes, the sides less 1.
std::string webp_with(const std::string& block) {
  const auto chunk = [](const std::string& kind, const std::string& data) {
    return kind + little_endian(data.size(), 4) + data + std::string(data.size() % 2, '\0');
  };
  const std::string header =
      chunk("VP8X", "\x08\0\0\0"s + little_endian(26 - 1, 3) + little_endian(19 - 1, 3));
  const std::string body =
      "WEBP" + header + test::golden_bytes("image/lossless.webp").substr(12) + chunk("EXIF", block);
  return "RIFF" + little_endian(body.size(), 4) + body;
}

class Orientation : public testing::TestWithParam<std::string (*)(const std::string&)> {};

TEST_P(Orientation, IsAppliedUnlessSwitchedOff) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const std::string bytes = GetParam()(tiff(orientation, orientation % 2 == 0));
    const auto span = std::as_bytes(std::span(bytes));
    const auto stored = decode_image(span, "picture", {.apply_exif = false});
    const auto upright = decode_image(span, "picture", {});
    ASSERT_TRUE(stored.ok()) << stored.status().message;
    ASSERT_TRUE(upright.ok()) << upright.status().message;
    EXPECT_EQ(stored->width, 26);
    EXPECT_EQ(upright->width, orientation >= 5 ? 19 : 26);
    EXPECT_EQ(upright->rgb, oriented(*stored, orientation).rgb) << orientation;
    EXPECT_EQ(upright->rgb == stored->rgb, orientation == 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Jpeg, Orientation, testing::Values(jpeg_with_exif));
INSTANTIATE_TEST_SUITE_P(Png, Orientation, testing::Values(png_with));
INSTANTIATE_TEST_SUITE_P(Webp, Orientation, testing::Values(webp_with));

}  // namespace
}  // namespace fastvlm
