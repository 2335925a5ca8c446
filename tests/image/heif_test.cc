// SPDX-License-Identifier: Apache-2.0
// HEIF files made of several pictures, as phones write them and as nobody should.
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <string>
#include <vector>

#include "image/decode.h"
#include "image/decoding.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using test::big_endian;
using test::decode;
using test::expect_refusal;
using test::kHeight;
using test::kWidth;

std::string box(const std::string& type, const std::string& content) {
  return big_endian(content.size() + 8, 4) + type + content;
}

// A box with a version and three bytes of flags.
std::string full_box(const std::string& type, size_t version, const std::string& content) {
  return box(type, big_endian(version << 24, 4) + content);
}

struct Reference {
  std::string type;  // "dimg": `from` is derived from `to`; "auxl": `from` is the alpha of `to`
  uint32_t from;
  std::vector<uint32_t> to;
};

struct Item {
  std::string type;     // "av01": a coded picture; "grid", "iden", "iovl": derived ones
  std::string content;  // what the item's bytes are
  std::string properties =
      "\x81\x82\x03";  // numbers of av1C, ispe and pixi, must-understand ones marked
};

std::string grid(size_t rows, size_t columns) {
  return big_endian(0, 2) + big_endian(rows - 1, 1) + big_endian(columns - 1, 1) +
         big_endian(columns * kWidth, 2) + big_endian(rows * kHeight, 2);
}

std::string tile() {
  const std::string bytes = test::golden_bytes("image/picture.avif");
  return bytes.substr(bytes.find("mdat") + 4);
}

// A file of these items, numbered from 1; the first is the picture shown.
std::string heif_file(const std::vector<Item>& items, const std::vector<Reference>& references) {
  const std::string avif = test::golden_bytes("image/picture.avif");
  const std::string codec = avif.substr(avif.find("av1C") - 4, 12);
  std::string entries, places, all_properties, data;
  for (size_t i = 0; i < items.size(); ++i) {
    const auto [type, content, properties] = items[i];
    const std::string id = big_endian(i + 1, 2);
    entries += full_box("infe", 2, id + big_endian(0, 2) + type + big_endian(0, 1));
    // Version 1: the item's bytes are in `idat` (1), one extent of an offset and a length.
    places += id + big_endian(1, 2) + big_endian(0, 2) + big_endian(1, 2) +
              big_endian(data.size(), 4) + big_endian(content.size(), 4);
    all_properties += id + big_endian(properties.size(), 1) + properties;
    data += content;
  }
  std::string links;
  for (const auto& [type, from, to] : references) {
    std::string ids;
    for (const uint32_t id : to) ids += big_endian(id, 2);
    links += box(type, big_endian(from, 2) + big_endian(to.size(), 2) + ids);
  }
  const std::string size = full_box("ispe", 0, big_endian(kWidth, 4) + big_endian(kHeight, 4));
  const std::string depth = full_box("pixi", 0, "\x03\x08\x08\x08");
  return box("ftyp", "avif" + big_endian(0, 4) + "avifmif1miaf") +
         full_box(
             "meta", 0,
             full_box("hdlr", 0, big_endian(0, 4) + "pict" + std::string(13, '\0')) +
                 full_box("pitm", 0, big_endian(1, 2)) +
                 full_box("iloc", 1, big_endian(0x4400, 2) + big_endian(items.size(), 2) + places) +
                 full_box("iinf", 0, big_endian(items.size(), 2) + entries) +
                 box("iprp",
                     box("ipco", codec + size + depth) +
                         full_box("ipma", 0, big_endian(items.size(), 4) + all_properties)) +
                 full_box("iref", 0, links) + box("idat", data));
}

const std::string kDerived = "\x82\x03";  // has no codec

class Heif : public testing::Test {
 protected:
  void SetUp() override {
    one_ = decode(test::golden_bytes("image/picture.avif"));
    if (!one_.ok() && one_.status().code == Code::kUnsupported) {
      GTEST_SKIP() << one_.status().message;
    }
    ASSERT_TRUE(one_.ok()) << one_.status().message;
  }

  Result<Image> one_ = Image{};  // the picture of every tile
};

TEST_F(Heif, AGridShowsItsTiles) {
  const Item part{"av01", tile()};
  const auto four = decode(heif_file({{"grid", grid(2, 2), kDerived}, part, part, part, part},
                                     {{"dimg", 1, {2, 3, 4, 5}}}));
  ASSERT_TRUE(four.ok()) << four.status().message;
  ASSERT_EQ(four->width, 2 * kWidth);
  ASSERT_EQ(four->height, 2 * kHeight);
  for (int y = 0; y < four->height; ++y) {
    for (int x = 0; x < four->width; ++x) {
      const uint8_t* expected = one_->row(y % kHeight) + x % kWidth * 3;
      EXPECT_TRUE(std::equal(expected, expected + 3, four->row(y) + x * 3)) << x << "," << y;
    }
  }
}

// Threads that want more stack than there is address space cannot be started.
TEST_F(Heif, SaysThatNoThreadCanBeStarted) {
  pthread_attr_t usual, huge;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(pthread_getattr_default_np(&huge), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&huge, size_t{1} << 60), 0);
  ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
  expect_refusal(
      decode(heif_file({{"grid", grid(1, 1), kDerived}, {"av01", tile()}}, {{"dimg", 1, {2}}})),
      Code::kLimit, "cannot start a thread");
  EXPECT_EQ(pthread_setattr_default_np(&usual), 0);
}

TEST_F(Heif, RefusesPicturesDerivedFromThemselves) {
  const Item part{"av01", tile()};
  const Item one{"grid", grid(1, 1), kDerived};
  const Item copy{"iden", "", kDerived};
  const std::pair<std::vector<Item>, std::vector<Reference>> files[] = {
      {{one}, {{"dimg", 1, {1}}}},
      {{copy}, {{"dimg", 1, {1}}}},
      {{copy, one}, {{"dimg", 1, {2}}, {"dimg", 2, {1}}}},
      {{part, copy}, {{"dimg", 2, {2}}}},  // not the one shown
      {{part, one},
       {{"auxl", 2, {1}}, {"dimg", 2, {1}}}},  // the alpha plane is made of the colours
  };
  for (const auto& [items, references] : files) {
    expect_refusal(decode(heif_file(items, references)), Code::kInvalid, "in a circle");
  }
}

// Copies of copies of a picture, the last of them shown.
std::string chain(uint32_t length) {
  std::vector<Item> items;
  std::vector<Reference> references;
  for (uint32_t i = 1; i < length; ++i) {
    items.push_back({"iden", "", kDerived});
    references.push_back({"dimg", i, {i + 1}});
  }
  items.push_back({"av01", tile()});
  return heif_file(items, references);
}

TEST_F(Heif, RefusesLongChainsOfPictures) {
  const auto five = decode(chain(5));
  EXPECT_TRUE(five.ok()) << five.status().message;
  expect_refusal(decode(chain(6)), Code::kInvalid, "more than 5 deep");
  expect_refusal(decode(chain(20'000)), Code::kInvalid, "more than 5 deep");
}

// Grids of grids of one tile: few bytes, but many pictures to decode.
TEST_F(Heif, RefusesGridsThatMultiply) {
  const auto nested = [](uint32_t tiles) {
    const std::vector<uint32_t> grids(64, 2);
    const Item outer{"grid", grid(8, 8), kDerived};
    const Item inner{"grid", grid(1, tiles), kDerived};
    return heif_file({outer, inner, {"av01", tile()}},
                     {{"dimg", 1, grids}, {"dimg", 2, std::vector<uint32_t>(tiles, 3)}});
  };
  const auto image = decode(nested(2));
  EXPECT_TRUE(image.ok()) << image.status().message;
  expect_refusal(decode(nested(64)), Code::kLimit, "more than 4,096 others");
}

TEST_F(Heif, RefusesPicturesDerivedFromNothing) {
  for (const char* type : {"grid", "iden", "iovl"}) {
    const Item derived{type, grid(1, 1) + std::string(16, '\1'), kDerived};
    for (const uint32_t source : {2U, 3U}) {  // not a picture, not there
      expect_refusal(decode(heif_file({derived, {"Exif", ""}}, {{"dimg", 1, {source}}})),
                     Code::kInvalid, "derived from one that is not there");
    }
  }
}

// What the properties say of the size does not matter to libheif.
TEST_F(Heif, RefusesGridsAndOverlaysOfTooManyPixels) {
  const auto with_size = [](const std::string& type, uint32_t width, uint32_t height) {
    const std::string between = type == "grid" ? std::string(2, '\0') : std::string(8, '\0');
    const std::string offset = type == "grid" ? "" : std::string(8, '\0');
    const std::string item =
        big_endian(1, 2) + between + big_endian(width, 4) + big_endian(height, 4) + offset;
    return heif_file({{type, item, kDerived}, {"av01", tile()}}, {{"dimg", 1, {2}}});
  };
  for (const char* type : {"grid", "iovl"}) {
    const auto small = decode(with_size(type, kWidth, kHeight));
    EXPECT_TRUE(small.ok()) << type << ": " << small.status().message;
    expect_refusal(decode(with_size(type, 32'767, 32'767)), Code::kLimit, "pixels, but at most");
    expect_refusal(decode(with_size(type, 1, 4'000'000'000)), Code::kLimit,
                   "a side may have at most");
    expect_refusal(decode(with_size(type, 0, 19)), Code::kInvalid, "0x19 pixels");
  }
  expect_refusal(
      decode(heif_file({{"grid", "\1", kDerived}, {"av01", tile()}}, {{"dimg", 1, {2}}})),
      Code::kInvalid, "does not say how large");
}

TEST_F(Heif, RefusesTwoListsOfPictures) {
  const std::string once =
      heif_file({{"grid", grid(1, 1), kDerived}, {"av01", tile()}}, {{"dimg", 1, {2}}});
  const std::string again = once + once.substr(once.find("meta") - 4);
  expect_refusal(decode(again), Code::kInvalid, "list of pictures is malformed");
}

TEST_F(Heif, RefusesMalformedReferences) {
  const std::string sound =
      heif_file({{"grid", grid(1, 1), kDerived}, {"av01", tile()}}, {{"dimg", 1, {2}}});
  const size_t reference = sound.find("dimg");
  for (const size_t at : {reference - 1, reference + 7}) {  // the size of the box, the count in it
    std::string bytes = sound;
    bytes[at] = static_cast<char>(bytes[at] + 1);
    expect_refusal(decode(bytes), Code::kInvalid, "list of pictures is malformed");
  }
}

}  // namespace
}  // namespace fastvlm
