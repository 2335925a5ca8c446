// SPDX-License-Identifier: Apache-2.0
#include "kernels/matrix.h"

#include <limits>

#include "kernels/compare.h"

namespace fastvlm {
namespace {

using test::Random;
using test::Weights;

TEST(Half, AllBitPatternsWidenExactly) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const double sign = (bits & 0x8000U) != 0 ? -1.0 : 1.0;
    const int exponent = static_cast<int>((bits >> 10) & 31U);
    const auto fraction = static_cast<double>(bits & 1023U);
    const float found = f16_to_f32(half);
    if (exponent == 31) {
      EXPECT_EQ(std::isinf(found), fraction == 0.0);
      EXPECT_EQ(std::isnan(found), fraction != 0.0);
    } else {
      const double value =
          exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0 + fraction, exponent - 25);
      EXPECT_EQ(static_cast<double>(found), sign * value) << bits;
    }
    EXPECT_EQ(std::signbit(found), sign < 0) << bits;
  }
  EXPECT_EQ(bf16_to_f32(0xC049), -3.140625F);
}

// Values worked out by hand: scale 0.5, bias -1 in F16 (0x3800, 0xBC00).
TEST(Matrix, AffineBitOrder) {
  std::vector<uint32_t> words(4, 0);
  words[0] = 0x76543210;
  words[3] = 0xF0000000;
  const uint16_t scale = 0x3800;
  const uint16_t bias = 0xBC00;
  MatrixSource source{WeightType::kQ4, 1, 32, words.data(), WeightType::kF16, &scale, &bias, 32};
  std::vector<float> row(32);
  row_to_f32(source, 0, row.data());
  EXPECT_EQ(row[0], -1.0F);
  EXPECT_EQ(row[1], -0.5F);
  EXPECT_EQ(row[7], 2.5F);
  EXPECT_EQ(row[30], -1.0F);
  EXPECT_EQ(row[31], 6.5F);

  words.assign(8, 0);
  words[0] = 0xFF020100;
  source.type = WeightType::kQ8;
  source.data = words.data();
  row_to_f32(source, 0, row.data());
  EXPECT_EQ(row[1], -0.5F);
  EXPECT_EQ(row[3], 126.5F);
}

TEST(Matrix, PackedRowsAreTheSourceRows) {
  Random random(1);
  const auto check = [](const Weights& weights) {
    const MatrixSource& source = weights.source;
    std::vector<float> expected(static_cast<size_t>(source.cols));
    std::vector<float> found(expected.size());
    test::for_each_isa([&] {
      const Matrix matrix = Matrix::pack(source, test::pool_of(2));
      EXPECT_EQ(matrix.rows(), source.rows);
      EXPECT_EQ(matrix.cols(), source.cols);
      EXPECT_EQ(matrix.type(), source.type);
      for (int64_t r = 0; r < source.rows; ++r) {
        row_to_f32(source, r, expected.data());
        matrix.row_to_f32(r, found.data());
        ASSERT_EQ(expected, found) << "row " << r;
      }
    });
  };
  for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
    for (const int64_t rows : {1, 16, 37}) {
      for (const int64_t cols : {1, 27, 64}) check(Weights(type, rows, cols, random));
    }
  }
  for (const WeightType type : {WeightType::kQ4, WeightType::kQ8}) {
    for (const WeightType scales : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
      for (const int64_t group : {32, 64, 128}) {
        check(Weights(type, 37, 3 * group, random, scales, group));
      }
    }
  }
}

// Weights live once: 4.5 bits a weight with groups of 64 and 16-bit scales.
TEST(Matrix, PackedSize) {
  Random random(2);
  const Weights weights(WeightType::kQ4, 64, 896, random);
  EXPECT_EQ(Matrix::pack(weights.source, test::pool_of(1)).bytes(), 64 * 896 * 9 / 16);
}

TEST(Table, SelectsByName) {
  const std::string usual = current_isa();
  EXPECT_EQ(available_isas().front(), "reference");
  EXPECT_EQ(available_isas().back(), usual);
  EXPECT_EQ(select_isa("abacus").code, Code::kUsage);
  EXPECT_EQ(current_isa(), usual);
  EXPECT_TRUE(select_isa("reference").ok());
  EXPECT_EQ(current_isa(), "reference");
  EXPECT_TRUE(select_isa(usual).ok());
}

}  // namespace
}  // namespace fastvlm
