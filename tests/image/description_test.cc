// SPDX-License-Identifier: Apache-2.0
// Captions inside picture files: what is written, and that nothing else changes.
#include "image/description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "image/decode.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using namespace std::string_literals;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const char* const kPictures[] = {"420.jpg",         "444.jpg",  "cmyk.jpg",  "grey.jpg",
                                 "progressive.jpg", "rgb.png",  "grey1.png", "palette.png",
                                 "interlaced.png",  "rgba.png", "rgb16.png"};

std::span<const std::byte> bytes_of(const std::string& file) {
  return std::as_bytes(std::span(file));
}

std::string described(const std::string& file, const std::string& text) {
  auto changed = with_description(bytes_of(file), text, "f");
  EXPECT_TRUE(changed.ok()) << changed.status().message;
  return changed.ok() ? *changed : "";
}

std::optional<std::string> description_in(const std::string& file) {
  auto found = read_description(bytes_of(file), "f");
  EXPECT_TRUE(found.ok()) << found.status().message;
  return found.ok() ? *found : std::nullopt;
}

std::string pixels_of(const std::string& file) {
  const auto image = decode_image(bytes_of(file), "f");
  EXPECT_TRUE(image.ok()) << image.status().message;
  return image.ok() ? std::string(image->rgb.begin(), image->rgb.end()) : "";
}

std::string segment(const std::string& body) {
  const size_t length = body.size() + 2;
  return "\xFF\xE1"s + static_cast<char>(length >> 8) + static_cast<char>(length) + body;
}

// A JPEG with these segments behind JFIF's.
std::string jpeg_with(const std::string& segments) {
  const std::string file = test::golden_bytes("image/444.jpg");
  const size_t end = size_t{4} + (size_t{static_cast<unsigned char>(file[4])} << 8 |
                                  static_cast<unsigned char>(file[5]));
  return file.substr(0, end) + segments + file.substr(end);
}

std::string packet_with(const std::string& properties) {
  return "<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF "
         "xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><rdf:Description "
         "rdf:about=\"\" "
         "xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" "
         "xmlns:my=\"http://example.org/my/\">" +
         properties + "</rdf:Description></rdf:RDF></x:xmpmeta>";
}

std::string xmp_segment(const std::string& packet) {
  return segment("http://ns.adobe.com/xap/1.0/\0"s + packet);
}

class Description : public testing::Test {
 protected:
  void SetUp() override {
    if (!can_write_descriptions()) GTEST_SKIP() << "built without libexempi";
  }
};

TEST_F(Description, IsWrittenAndReplacedAndPixelsStay) {
  const std::string text = "1. A <dog> & \"é\"\n2. at night";
  for (const char* name : kPictures) {
    SCOPED_TRACE(name);
    const std::string file = test::golden_bytes(cat("image/", name));
    EXPECT_EQ(description_in(file), std::nullopt);
    const std::string first = described(file, text);
    EXPECT_EQ(description_in(first), text);
    EXPECT_EQ(pixels_of(first), pixels_of(file));
    const std::string second = described(first, "a cat");
    EXPECT_EQ(description_in(second), "a cat");
    EXPECT_EQ(pixels_of(second), pixels_of(file));
    EXPECT_EQ(described(first, text), first);
    EXPECT_EQ(described(second, text), first) << "nothing gathers";
  }
}

TEST_F(Description, EverythingElseStays) {
  const std::string exif = segment("Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"s);
  const std::string packet = packet_with(
      "<xmp:Rating>4</xmp:Rating><my:note>mine &amp; yours</my:note><dc:title><rdf:Alt>"
      "<rdf:li xml:lang=\"x-default\">Title</rdf:li></rdf:Alt></dc:title>"
      "<dc:description><rdf:Alt><rdf:li xml:lang=\"x-default\">old</rdf:li>"
      "<rdf:li xml:lang=\"de\">alt</rdf:li><rdf:li xml:lang=\"fr\">vieux</rdf:li>"
      "</rdf:Alt></dc:description>");
  const std::string file = jpeg_with(exif + xmp_segment(packet)) + "behind the end";
  EXPECT_EQ(description_in(file), "old");
  const std::string changed = described(file, "new");
  EXPECT_EQ(description_in(changed), "new");
  EXPECT_THAT(changed, StartsWith(file.substr(0, file.find(xmp_segment(packet)))));
  EXPECT_THAT(changed, EndsWith(file.substr(file.find(packet) + packet.size())));
  for (const char* kept : {"Rating", "mine &amp; yours", ">Title<", ">alt<", ">vieux<"}) {
    EXPECT_THAT(changed, HasSubstr(kept));
  }
  EXPECT_THAT(changed, Not(HasSubstr(">old<")));
}

// libexempi would give both languages the words of the first.
TEST_F(Description, WhatWouldBeLostIsRefused) {
  for (const char* property : {"title", "description"}) {
    const std::string both =
        cat("<dc:", property, "><rdf:Alt><rdf:li xml:lang=\"x-default\">old",
            "</rdf:li><rdf:li xml:lang=\"de\">alt</rdf:li></rdf:Alt></dc:", property, ">");
    const Status refused =
        with_description(bytes_of(jpeg_with(xmp_segment(packet_with(both)))), "new", "a.jpg")
            .status();
    EXPECT_EQ(refused.code, Code::kUnsupported);
    EXPECT_THAT(refused.message, HasSubstr("a.jpg: its metadata has a text in several languages"));
  }
  const std::string pictures = jpeg_with("\xFF\xE2\0\6MPF\0"s + xmp_segment(packet_with("")));
  EXPECT_THAT(with_description(bytes_of(pictures), "new", "a.jpg").status().message,
              HasSubstr("holds more pictures"));
}

TEST_F(Description, OtherFormatsAreRefused) {
  for (const char* name : {"lossy.webp", "24.bmp", "picture.gif", "picture.heic"}) {
    const Status refused =
        check_describable(bytes_of(test::golden_bytes(cat("image/", name))), name);
    EXPECT_EQ(refused.code, Code::kUnsupported) << name;
    EXPECT_THAT(refused.message, HasSubstr(": captions are written into JPEG and PNG files"));
  }
  EXPECT_TRUE(check_describable(bytes_of(test::golden_bytes("image/rgb.png")), "f").ok());
}

TEST_F(Description, AJpegHasRoomForSoMuch) {
  const std::string text(70000, 'a');
  const Status refused =
      with_description(bytes_of(test::golden_bytes("image/444.jpg")), text, "a.jpg").status();
  EXPECT_EQ(refused.code, Code::kLimit);
  EXPECT_EQ(description_in(described(test::golden_bytes("image/rgb.png"), text)), text);
}

TEST_F(Description, HoldsNoControlCharacters) {
  EXPECT_EQ(as_description("a\x01\r\n\tb\xEF\xBF\xBF\x7F"), "a\n\tb");
  const std::string text = as_description("a\x01 b\r\nc");
  EXPECT_EQ(description_in(described(test::golden_bytes("image/rgb.png"), text)), text);
}

// Cut at every length and changed at random: an error, or a file.
TEST_F(Description, HostileFiles) {
  std::minstd_rand random(7);
  const std::string png = described(test::golden_bytes("image/rgb.png"), "x");
  const std::string own = xmp_segment(packet_with("<xmp:Rating>4</xmp:Rating>"));
  const std::string jpeg = jpeg_with(own);
  // Of a JPEG only what stands up to its XMP is looked at.
  const std::vector<std::pair<std::string, size_t>> files = {{png, png.size()},
                                                             {jpeg, jpeg.find(own) + own.size()}};
  for (const auto& [whole, looked_at] : files) {
    for (size_t length = 0; length < looked_at; ++length) {
      EXPECT_FALSE(with_description(bytes_of(whole.substr(0, length)), "new", "f").ok()) << length;
    }
    for (int i = 0; i < 3000; ++i) {
      std::string changed = whole;
      for (int bytes = 0; bytes < 3; ++bytes) {
        changed[random() % looked_at] = static_cast<char>(random());
      }
      const auto result = with_description(bytes_of(changed), "new", "f");
      if (!result.ok()) continue;
      EXPECT_EQ(description_in(*result), "new");
    }
  }
  for (const std::string& packet : {"<x"s, "\0\0\0"s, std::string(60000, '<'), ""s}) {
    const auto result = with_description(bytes_of(jpeg_with(xmp_segment(packet))), "new", "f");
    EXPECT_EQ(result.ok(), packet.empty());
  }
}

// The library would recurse without an end in the one, and take minutes for the other.
TEST_F(Description, PacketsThatNobodyWritesAreRefused) {
  std::string deep, many;
  for (int i = 0; i < 8000; ++i) deep += "<q:a>";
  for (int i = 0; i < 5000; ++i) many += "<q:a>x</q:a>";
  for (const std::string& inside : {deep, many}) {
    const std::string file = jpeg_with(xmp_segment(packet_with(inside)));
    const auto result = with_description(bytes_of(file), "new", "f");
    ASSERT_FALSE(result.ok());
    EXPECT_THAT(result.status().message, HasSubstr("its XMP has more than 4000 tags or 64 levels"));
  }
}

}  // namespace
}  // namespace fastvlm
