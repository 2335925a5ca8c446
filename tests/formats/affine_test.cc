// SPDX-License-Identifier: Apache-2.0
#include "formats/affine.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

#include "base/strings.h"
#include "formats/narrow.h"
#include "formats/safetensors.h"
#include "kernels/matrix.h"
#include "support/files.h"

namespace fastvlm {
namespace {

// The goldens of tests/goldens/quant, case by case.
class Goldens {
 public:
  Goldens() : file_(SafetensorsFile::open(test::golden("quant/golden_quant.safetensors"))) {}

  bool ok() const { return file_.ok(); }
  std::set<std::string> cases() const {
    std::set<std::string> names;
    for (const auto& [name, view] : file_->tensors()) names.insert(split(name, '/')[0]);
    return names;
  }
  const TensorView& at(const std::string& name) const { return *file_->find(name); }

 private:
  Result<SafetensorsFile> file_;
};

// f32 values as the bytes of a file's dtype.
std::vector<std::byte> stored(const std::vector<float>& values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = f32_to_f16(values[i]);
    if (dtype == DType::kF16) {
      std::memcpy(&bytes[2 * i], &half, 2);
    } else {
      std::memcpy(&bytes[4 * i], &values[i], 4);
    }
  }
  return bytes;
}

bool same(const std::vector<std::byte>& ours, const TensorView& golden) {
  return ours.size() == golden.bytes.size() &&
         std::memcmp(ours.data(), golden.bytes.data(), ours.size()) == 0;
}

TEST(Affine, PacksExactlyAsTheReference) {
  const Goldens goldens;
  ASSERT_TRUE(goldens.ok());
  ASSERT_EQ(goldens.cases().size(), 11U);
  for (const std::string& name : goldens.cases()) {
    const TensorView& w = goldens.at(name + "/w");
    const int64_t rows = w.shape[0];
    const int64_t cols = w.shape[1];
    const int64_t words = goldens.at(name + "/packed").shape[1];
    const int bits = static_cast<int>(words * 32 / cols);
    EXPECT_EQ(bits, name == "bits8" ? 8 : 4);
    const std::vector<float> values = *to_floats(w, name);
    std::vector<uint32_t> packed(static_cast<size_t>(rows * words));
    std::vector<float> scales(static_cast<size_t>(rows * cols / 64));
    std::vector<float> biases(scales.size());
    for (int64_t r = 0; r < rows; ++r) {
      quantize_affine_row(values.data() + r * cols, cols, bits, 64, packed.data() + r * words,
                          scales.data() + r * cols / 64, biases.data() + r * cols / 64);
    }
    const auto words_as_bytes = std::as_bytes(std::span(packed));
    EXPECT_TRUE(same({words_as_bytes.begin(), words_as_bytes.end()}, goldens.at(name + "/packed")))
        << name;
    EXPECT_TRUE(same(stored(scales, w.dtype), goldens.at(name + "/scales"))) << name;
    EXPECT_TRUE(same(stored(biases, w.dtype), goldens.at(name + "/biases"))) << name;
  }
}

TEST(Affine, UnpacksAsTheReference) {
  const Goldens goldens;
  ASSERT_TRUE(goldens.ok());
  for (const std::string& name : goldens.cases()) {
    const TensorView& packed = goldens.at(name + "/packed");
    const TensorView& scales = goldens.at(name + "/scales");
    const std::vector<float> expected = *to_floats(goldens.at(name + "/dequant_f32"), name);
    MatrixSource source;
    source.type = name == "bits8" ? WeightType::kQ8 : WeightType::kQ4;
    source.rows = packed.shape[0];
    source.cols = goldens.at(name + "/w").shape[1];
    source.data = packed.bytes.data();
    source.scale_type = scales.dtype == DType::kF16 ? WeightType::kF16 : WeightType::kF32;
    source.scales = scales.bytes.data();
    source.biases = goldens.at(name + "/biases").bytes.data();
    // With F16 scales the product scale * q is exact in f32. With F32 scales it may or may not be
    // rounded before the sum, and what then cancels is compared to the size of its terms.
    const std::vector<float> biases = *to_floats(goldens.at(name + "/biases"), name);
    const bool exact_product = scales.dtype == DType::kF16;
    std::vector<float> row(static_cast<size_t>(source.cols));
    for (int64_t r = 0; r < source.rows; ++r) {
      row_to_f32(source, r, row.data());
      for (size_t i = 0; i < row.size(); ++i) {
        const float golden = expected[static_cast<size_t>(r) * row.size() + i];
        const float bias = biases[static_cast<size_t>(r) * (row.size() / 64) + i / 64];
        const float size = exact_product ? std::abs(golden) : std::abs(golden) + std::abs(bias);
        ASSERT_NEAR(row[i], golden, 1e-6F * size) << name << " " << r << " " << i;
      }
    }
  }
}

// 3 and 6 bits cross from one word into the next, as MLX's three-byte packs do.
TEST(Affine, LevelsAreAStreamOfBits) {
  std::vector<uint8_t> levels(32);
  for (size_t i = 0; i < levels.size(); ++i) levels[i] = static_cast<uint8_t>((i + 1) % 8);
  std::vector<uint32_t> words(3);
  pack_levels(levels, 3, words.data());
  // 1 2 3 4 5 6 7 0, lowest first, is 0x1F58D1 in three bytes; four times over.
  EXPECT_EQ(words, (std::vector<uint32_t>{0xD11F58D1, 0x58D11F58, 0x1F58D11F}));
  levels = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 63};
  pack_levels(levels, 6, words.data());
  EXPECT_EQ(words[0], 1U | 2U << 6 | 3U << 12 | 4U << 18 | 5U << 24 | 6U << 30);
  for (const int bits : {2, 3, 4, 6, 8}) {
    levels.resize(96);
    for (size_t i = 0; i < levels.size(); ++i) {
      levels[i] = static_cast<uint8_t>(i * 37 % (size_t{1} << bits));
    }
    words.assign(static_cast<size_t>(bits) * 3 + 1, 0xABCDEF01);
    std::vector<uint8_t> bytes(words.size() * 4 + 1);
    pack_levels(levels, bits, words.data());
    EXPECT_EQ(words.back(), 0xABCDEF01);
    std::memcpy(bytes.data() + 1, words.data(), words.size() * 4);  // of any alignment
    std::vector<uint8_t> read(levels.size());
    unpack_levels(bytes.data() + 1, bits, read);
    EXPECT_EQ(read, levels) << bits;
  }
}

}  // namespace
}  // namespace fastvlm
