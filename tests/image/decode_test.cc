// SPDX-License-Identifier: Apache-2.0
#include "image/decode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "base/mapped_file.h"
#include "image/decoding.h"
#include "support/files.h"

// The AV1 decoder behind libheif 1.15 loses a few bytes when it refuses a file.
extern "C" const char* __lsan_default_suppressions() {  // NOLINT: the sanitizer's name
  return "leak:libdav1d\n";
}

namespace fastvlm {
namespace {

using test::decode;
using test::expect_refusal;
using test::kHeight;
using test::kWidth;

// File name -> CRC-32 of the RGB pixels that Pillow reads.
std::map<std::string, uint32_t> expected_pixels() {
  std::ifstream file(test::golden("image") / "expected.txt");
  std::map<std::string, uint32_t> expected;
  std::string name;
  for (uint32_t crc = 0; file >> name >> crc;) expected[name] = crc;
  return expected;
}

TEST(Decode, EveryKindGivesThePixelsOfPillow) {
  const auto expected = expected_pixels();
  ASSERT_EQ(expected.size(), 24U);
  for (const auto& [name, crc] : expected) {
    const auto image = load_image(test::golden("image") / name);
    ASSERT_TRUE(image.ok()) << image.status().message;
    EXPECT_EQ(image->width, kWidth) << name;
    EXPECT_EQ(image->height, kHeight) << name;
    EXPECT_EQ(crc32(0, image->rgb.data(), static_cast<uInt>(image->rgb.size())), crc) << name;
  }
}

// The colours of tests/goldens/image/make.py, which the lossy files come close to.
TEST(Decode, HeicAndAvifComeCloseToTheDrawing) {
  for (const char* name : {"picture.heic", "picture.avif"}) {
    const auto image = load_image(test::golden("image") / name);
    if (!image.ok() && image.status().code == Code::kUnsupported) {
      GTEST_SKIP() << image.status().message;
    }
    ASSERT_TRUE(image.ok()) << image.status().message;
    ASSERT_EQ(image->width, kWidth) << name;
    ASSERT_EQ(image->height, kHeight) << name;
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        const uint8_t* pixel = image->row(y) + x * 3;
        EXPECT_NEAR(pixel[0], 40 + 7 * x, 16) << name << " " << x << "," << y;
        EXPECT_NEAR(pixel[1], 30 + 10 * y, 16) << name << " " << x << "," << y;
        EXPECT_NEAR(pixel[2], 220 - 4 * x - 3 * y, 16) << name << " " << x << "," << y;
      }
    }
  }
}

TEST(Decode, TellsTheFormatByContent) {
  const std::pair<const char*, ImageFormat> files[] = {
      {"444.jpg", ImageFormat::kJpeg},      {"rgb.png", ImageFormat::kPng},
      {"lossy.webp", ImageFormat::kWebp},   {"picture.heic", ImageFormat::kHeif},
      {"picture.avif", ImageFormat::kAvif}, {"picture.gif", ImageFormat::kGif},
      {"24.bmp", ImageFormat::kBmp},        {"make.py", ImageFormat::kUnknown},
  };
  for (const auto& [name, format] : files) {
    const std::string bytes = test::golden_bytes(cat("image/", name));
    EXPECT_EQ(sniff(std::as_bytes(std::span(bytes))), format) << name;
  }
  const test::TemporaryFolder folder;
  std::filesystem::copy_file(test::golden("image") / "rgb.png", folder / "mislabelled.jpg");
  EXPECT_TRUE(load_image(folder / "mislabelled.jpg").ok());
}

TEST(Decode, RefusesFilesThatAreNotThere) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(load_image(folder / "none.jpg").status().code, Code::kNotFound);
  EXPECT_EQ(load_image(folder.path()).status().code, Code::kInvalid);
}

TEST(Decode, SaysWhatWasFoundInsteadOfAPicture) {
  using namespace std::string_literals;
  expect_refusal(decode(""), Code::kInvalid, "found an empty file");
  expect_refusal(decode("<!DOCTYPE html><html>404"), Code::kInvalid, "found an HTML page");
  expect_refusal(decode("Dear diary,\n"), Code::kInvalid, "found text");
  expect_refusal(decode("version https://git-lfs.github.com/spec/v1\n"), Code::kInvalid,
                 "found a Git LFS pointer");
  expect_refusal(decode("II*\0abcdefgh"s), Code::kInvalid, "found a TIFF");
  expect_refusal(decode("\0\0\0\x18"
                        "ftypisom\0\0\0\0isomiso2"s),
                 Code::kInvalid, "found a video");
  expect_refusal(decode(std::string(100, '\0')), Code::kInvalid,
                 "found unknown data that begins with 00 00 00 00 00 00 00 00");
  expect_refusal(decode(test::golden_bytes("image/picture.gif")), Code::kUnsupported, "GIF");
}

TEST(Decode, RefusesMorePixelsThanAllowed) {
  const DecodeOptions few = {.max_pixels = kWidth * kHeight - 1};
  const DecodeOptions enough = {.max_pixels = kWidth * kHeight};
  for (const auto& [name, crc] : expected_pixels()) {
    const std::string bytes = test::golden_bytes(cat("image/", name));
    expect_refusal(decode(bytes, few), Code::kLimit, "26x19 is 494 pixels");
    EXPECT_TRUE(decode(bytes, enough).ok()) << name;
  }
  for (const char* name : {"picture.heic", "picture.avif"}) {
    const auto result = decode(test::golden_bytes(cat("image/", name)), few);
    if (!result.ok() && result.status().code == Code::kUnsupported) continue;
    expect_refusal(result, Code::kLimit, "26x19 is 494 pixels");
  }
}

// `bytes` with other bytes from `at` on.
std::string patched(std::string bytes, size_t at, const std::string& with) {
  return bytes.replace(at, with.size(), with);
}

TEST(Decode, RefusesAbsurdSizesBeforeReadingPixels) {
  using namespace std::string_literals;
  const std::string png =
      test::golden_bytes("image/rgb.png");  // width and height at 16, big-endian
  expect_refusal(decode(patched(png, 16, "\0\0\xEA\x60\0\0\xEA\x60"s)), Code::kLimit,
                 "60000x60000 is 3,600,000,000 pixels");
  expect_refusal(decode(patched(png, 16, "\xFF\xFF\xFF\xFF\0\0\0\1"s)), Code::kLimit,
                 "4294967295x1 pixels, but a side may have at most 65535");
  expect_refusal(decode(patched(png, 16, "\0\0\0\0\0\0\0\1"s)), Code::kInvalid, "0x1 pixels");

  const std::string jpeg =
      test::golden_bytes("image/444.jpg");  // FF C0, length u16, bits, height, width
  const size_t frame = jpeg.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  expect_refusal(decode(patched(jpeg, frame + 5, "\xEA\x60\xEA\x60")), Code::kLimit,
                 "60000x60000 is");

  const std::string webp =
      test::golden_bytes("image/animated.webp");  // VP8X: width and height less 1 at 24
  expect_refusal(decode(patched(webp, 24, "\xFE\x3F\0\xFE\x3F\0"s)), Code::kLimit, "16383x16383");

  const std::string bmp =
      test::golden_bytes("image/24.bmp");  // width and height at 18, little-endian
  expect_refusal(decode(patched(bmp, 18, "\x60\xEA\0\0\x60\xEA\0\0"s)), Code::kLimit,
                 "60000x60000 is");
  expect_refusal(decode(patched(bmp, 18, "\xFF\xFF\xFF\xFF"s)), Code::kInvalid, "-1x19");
  expect_refusal(decode(patched(bmp, 22, "\0\0\0\x80"s)), Code::kLimit, "26x2147483648");
}

TEST(Decode, RefusesFilesThatAreCutShort) {
  for (const auto& [name, crc] : expected_pixels()) {
    const std::string bytes = test::golden_bytes(cat("image/", name));
    for (size_t size = 0; size < bytes.size(); ++size) {
      const auto result = decode(bytes.substr(0, size));
      ASSERT_FALSE(result.ok()) << name << " cut to " << size << " bytes";
      ASSERT_FALSE(result.status().hint.empty());
    }
  }
}

// Whatever the bytes say, the answer is a picture within the limits or an error.
void expect_sane(const std::string& bytes, const std::string& what) {
  const DecodeOptions options = {.max_pixels = 100'000};
  const auto result = decode(bytes, options);
  if (!result.ok()) {
    ASSERT_FALSE(result.status().message.empty()) << what;
    ASSERT_FALSE(result.status().hint.empty()) << what << ": " << result.status().message;
    return;
  }
  const auto pixels = static_cast<size_t>(result->width) * static_cast<size_t>(result->height);
  ASSERT_GE(pixels, 1U) << what;
  ASSERT_LE(pixels, 100'000U) << what;
  ASSERT_EQ(result->rgb.size(), pixels * 3) << what;
}

TEST(Decode, SurvivesAnyDamagedByte) {
  for (const auto& [name, crc] : expected_pixels()) {
    const std::string bytes = test::golden_bytes(cat("image/", name));
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (const int mask : {0x01, 0x80, 0xFF}) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ mask);
        expect_sane(damaged, name + " byte " + std::to_string(at));
      }
    }
  }
}

TEST(Decode, SurvivesDamagedHeicAndAvif) {
  for (const std::string name : {"picture.heic", "picture.avif"}) {
    const std::string bytes = test::golden_bytes(cat("image/", name));
    for (size_t at = 0; at < bytes.size(); at += 3) {
      expect_sane(bytes.substr(0, at), name + " cut to " + std::to_string(at));
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
      expect_sane(damaged, name + " byte " + std::to_string(at));
    }
  }
}

TEST(Decode, RefusesAJpegOfEndlessScans) {
  const std::string bytes = test::golden_bytes("image/progressive.jpg");
  // The first scan holds the mean colours; writing them again does no harm.
  const size_t first = bytes.find("\xFF\xDA");
  const size_t next = std::min(bytes.find("\xFF\xC4", first), bytes.find("\xFF\xDA", first + 2));
  const auto with_scans = [&](int count) {
    std::string repeated = bytes.substr(0, first);
    for (int i = 0; i < count; ++i) repeated += bytes.substr(first, next - first);
    return repeated + bytes.substr(next);
  };
  EXPECT_EQ(with_scans(1), bytes);
  EXPECT_EQ(decode(with_scans(20))->rgb, decode(bytes)->rgb);
  expect_refusal(decode(with_scans(150)), Code::kInvalid, "more than 100 scans");
}

}  // namespace
}  // namespace fastvlm
