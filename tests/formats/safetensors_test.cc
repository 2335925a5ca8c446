// SPDX-License-Identifier: Apache-2.0
#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "base/strings.h"
#include "formats/narrow.h"
#include "kernels/half.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;

// A file with this header and so many bytes of data 0, 1, 2, ...
std::string file_with(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof length);
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

Result<SafetensorsContents> parse_file(const std::string& file) {
  return parse_safetensors(std::as_bytes(std::span(file)), "x.safetensors");
}

std::string header_fault(const std::string& header, size_t data_bytes = 0) {
  const auto contents = parse_file(file_with(header, data_bytes));
  return contents.ok() ? "no error" : contents.status().message;
}

TEST(Safetensors, ReadsShapesTypesAndMetadata) {
  const std::string file = file_with(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[],"data_offsets":[6,14]},)"
      R"("a":{"dtype":"F16","shape":[3,1],"data_offsets":[0,6]},)"
      R"("none":{"dtype":"F32","shape":[0,4],"data_offsets":[14,14]}}   )",
      14);
  const auto contents = parse_file(file);
  ASSERT_TRUE(contents.ok()) << contents.status().message;
  EXPECT_EQ(contents->metadata.at("format"), "pt");
  ASSERT_EQ(contents->tensors.size(), 3U);
  const TensorView& a = contents->tensors.find("a")->second;
  EXPECT_EQ(a.dtype, DType::kF16);
  EXPECT_EQ(a.shape, (std::vector<int64_t>{3, 1}));
  EXPECT_EQ(a.elements(), 3);
  EXPECT_EQ(a.bytes[5], std::byte{5});
  EXPECT_EQ(contents->tensors.find("b")->second.elements(), 1);
  EXPECT_EQ(contents->tensors.find("none")->second.elements(), 0);
}

TEST(Safetensors, RefusesWhatIsNoSafetensorsFile) {
  EXPECT_THAT(parse_file("").status().message, HasSubstr("is empty"));
  EXPECT_THAT(parse_file("abc").status().message, HasSubstr("has 3 bytes, too few"));
  EXPECT_THAT(parse_file("GGUF and what follows").status().message,
              HasSubstr("is not a safetensors file"));
  const auto pointer =
      parse_file("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
  EXPECT_THAT(pointer.status().message, HasSubstr("is a Git LFS pointer of 63 bytes"));
  EXPECT_THAT(pointer.status().hint, HasSubstr("git lfs pull"));
  EXPECT_THAT(parse_file("<!DOCTYPE html><html>").status().message, HasSubstr("is a web page"));
  EXPECT_THAT(parse_file("PK\x03\x04 archive").status().message, HasSubstr("zip archive"));
}

TEST(Safetensors, RefusesHeadersThatAreWrong) {
  EXPECT_THAT(header_fault("not json"), HasSubstr("is not a JSON object"));
  EXPECT_THAT(header_fault("[]"), HasSubstr("is not a JSON object"));
  EXPECT_THAT(header_fault(""), HasSubstr("is not a JSON object"));
  EXPECT_THAT(header_fault("{"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(header_fault("{} x"), HasSubstr("is not valid JSON"));
  EXPECT_THAT(header_fault(R"({"a":3})"), HasSubstr("has a number at `a`"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8"}})"), HasSubstr("without dtype, shape"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}})", 1),
              HasSubstr("without dtype, shape and two data_offsets"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1),
              HasSubstr("a third offset"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1),
              HasSubstr("the negative number -1 at `a`, field `shape`"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", 1),
              HasSubstr("no 64-bit integer"));
  EXPECT_THAT(
      header_fault(R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})"),
      HasSubstr("the number 18446744073709551615"));
  EXPECT_THAT(
      header_fault(R"({"a":{"dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,1]}})"),
      HasSubstr("no 64-bit integer"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})"),
              HasSubstr("a list at `a`"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":{"x":1},"shape":[1],"data_offsets":[0,1]}})"),
              HasSubstr("an object at `a`"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})"),
              HasSubstr("an unknown field at `a`, field `x`"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})"),
              HasSubstr("the field a second time"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                           R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})"),
              HasSubstr("the name a second time at `a`"));
  EXPECT_THAT(header_fault(std::string(100000, '[')), HasSubstr("is not a JSON object"));
  EXPECT_THAT(header_fault("{\"a\":" + std::string(100000, '[')), HasSubstr("a list at `a`"));
}

TEST(Safetensors, RefusesTensorsThatDoNotFitTheFile) {
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"Q4","shape":[1],"data_offsets":[0,1]}})", 1),
              HasSubstr("tensor `a`: dtype `Q4` is not one of"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4),
              HasSubstr("F32 [2] takes 8 bytes, data_offsets say 0 .. 4"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[4,2]}})", 4),
              HasSubstr("data_offsets say 4 .. 2"));
  EXPECT_THAT(
      header_fault(R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})"),
      HasSubstr("impossible shape"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})", 7),
              HasSubstr("ends at byte 8 of the data, the file has 7: it is truncated"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                           R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                           6),
              HasSubstr("`b` begins at byte 2 of the data, expected 4 (tensors overlap)"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[1,5]}})", 5),
              HasSubstr("(a hole in the data)"));
  EXPECT_THAT(header_fault(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 6),
              HasSubstr("the header describes 4 bytes of data, the file has 6"));
}

TEST(Safetensors, EveryTruncationIsAnErrorWithANextStep) {
  std::string file = file_with(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
                               R"("b":{"dtype":"U8","shape":[3],"data_offsets":[16,19]}})",
                               19);
  ASSERT_TRUE(parse_file(file).ok());
  while (!file.empty()) {
    file.pop_back();
    const auto contents = parse_file(file);
    ASSERT_FALSE(contents.ok()) << file.size();
    EXPECT_THAT(contents.status().message, HasSubstr("x.safetensors: "));
    EXPECT_FALSE(contents.status().hint.empty());
  }
}

TEST(Safetensors, EveryFlippedByteIsReadOrRefused) {
  const std::string file =
      file_with(R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})", 16);
  for (size_t at = 0; at < file.size() - 16; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string broken = file;
      broken[at] = static_cast<char>(broken[at] ^ (1 << bit));
      const auto contents = parse_file(broken);
      if (!contents.ok()) continue;
      ASSERT_EQ(contents->tensors.size(), 1U);  // only the name can change
      EXPECT_EQ(contents->tensors.begin()->second.bytes.size(), 16U);
    }
  }
}

TEST(Safetensors, WritesWhatItReads) {
  const test::TemporaryFolder folder;
  const std::vector<float> numbers{1.5F, -2, 3};
  const uint8_t byte = 7;
  const std::vector<TensorToWrite> tensors{
      {"z \"quoted\"", DType::kU8, {1}, std::as_bytes(std::span(&byte, 1))},
      {"a", DType::kF32, {3, 1}, std::as_bytes(std::span(numbers))},
      {"empty", DType::kI64, {0}, {}}};
  ASSERT_TRUE(write_safetensors(folder / "x.safetensors", tensors, {{"format", "pt"}}).ok());
  const auto file = SafetensorsFile::open(folder / "x.safetensors");
  ASSERT_TRUE(file.ok()) << file.status().message;
  EXPECT_EQ(file->metadata().at("format"), "pt");
  EXPECT_EQ(file->tensors().size(), 3U);
  ASSERT_NE(file->find("a"), nullptr);
  EXPECT_EQ(*to_floats(*file->find("a"), "a"), numbers);  // at an odd address
  EXPECT_EQ(file->find("z \"quoted\"")->bytes[0], std::byte{7});
  EXPECT_EQ((file->find("z \"quoted\"")->bytes.data() - file->bytes().data()) % 64, 0);
  EXPECT_EQ(file->find("b"), nullptr);
}

TEST(Safetensors, WriterHoldsToItsDeclarations) {
  const test::TemporaryFolder folder;
  const std::filesystem::path path = folder / "x.safetensors";
  const std::vector<TensorDeclaration> declared{{"a", DType::kU8, {2}}, {"b", DType::kU8, {2}}};
  const std::string bytes = "abcde";
  const auto all = std::as_bytes(std::span(bytes));
  {
    auto writer = SafetensorsWriter::create(path, declared);
    ASSERT_TRUE(writer.ok());
    EXPECT_TRUE(writer->append(all.first(3)).ok());
    EXPECT_EQ(writer->finish().code, Code::kUsage);
    EXPECT_EQ(writer->append(all.first(2)).code, Code::kUsage);
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_TRUE(writer->append(all.subspan(3, 1)).ok());
    EXPECT_TRUE(writer->finish().ok());
  }
  const auto file = SafetensorsFile::open(path);
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->find("b")->bytes[1], std::byte{'d'});
  const TensorToWrite wrong{"a", DType::kF32, {2}, all};
  EXPECT_EQ(write_safetensors(path, std::span(&wrong, 1)).code, Code::kUsage);
}

TEST(Safetensors, ConvertsToFloatsOrSaysWhyNot) {
  const std::vector<uint16_t> halves{0x3C00, 0xC000, 0x0001, 0x7C00};
  const auto bytes = std::as_bytes(std::span(halves));
  EXPECT_EQ(*to_floats({DType::kF16, {4}, bytes}, "a"),
            (std::vector<float>{1, -2, 0x1p-24F, std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(*to_floats({DType::kBF16, {1}, bytes.first(2)}, "a"), (std::vector<float>{0.0078125F}));
  EXPECT_EQ(to_floats({DType::kI64, {1}, bytes}, "a").status().message,
            "a: expected F32, F16 or BF16, found I64");
}

TEST(Narrow, RoundsLikeIeee) {
  // Every half survives the way there and back; NaN stays NaN.
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float wide = f16_to_f32(half);
    if (std::isnan(wide)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(wide))));
    } else {
      ASSERT_EQ(f32_to_f16(wide), half);
    }
    const float brain = bf16_to_f32(half);
    if (std::isnan(brain)) {
      EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(brain))));
    } else {
      ASSERT_EQ(f32_to_bf16(brain), half);
    }
  }
  // Between two neighbours: to the nearest, ties to even.
  for (uint32_t bits = 0; bits < 0x7BFF; ++bits) {
    const float low = f16_to_f32(static_cast<uint16_t>(bits));
    const float high = f16_to_f32(static_cast<uint16_t>(bits + 1));
    const float middle = low + (high - low) / 2;
    ASSERT_EQ(f32_to_f16(middle), bits + (bits & 1)) << bits;
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, low)), bits);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, high)), bits + 1);
  }
  EXPECT_EQ(f32_to_f16(65519.996F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520), 0x7C00);
  EXPECT_EQ(f32_to_bf16(1.00390625F), 0x3F80);  // a tie, to even
  EXPECT_EQ(f32_to_bf16(1.01171875F), 0x3F82);  // a tie, to even
}

}  // namespace
}  // namespace fastvlm
