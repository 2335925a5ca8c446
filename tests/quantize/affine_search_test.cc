// SPDX-License-Identifier: Apache-2.0
#include "quantize/affine_search.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "formats/affine.h"
#include "formats/narrow.h"
#include "kernels/half.h"

namespace fastvlm {
namespace {

constexpr int64_t kGroup = 64;

float as_f16(float value) {
  return f16_to_f32(f32_to_f16(value));
}

// A quantised row as a reader of the file sees it.
struct Stored {
  std::vector<uint32_t> words;
  std::vector<float> scales, biases;

  Stored(int64_t cols, int bits)
      : words(static_cast<size_t>(cols * bits / 32)),
        scales(static_cast<size_t>(cols / kGroup)),
        biases(scales.size()) {}

  // Of each group, weighted.
  std::vector<double> errors(const std::vector<float>& row, int bits,
                             const std::vector<float>& importance) const {
    std::vector<uint8_t> levels(row.size());
    unpack_levels(words.data(), bits, levels);
    std::vector<double> sums(scales.size());
    for (size_t i = 0; i < row.size(); ++i) {
      const size_t group = i / kGroup;
      const float miss =
          row[i] - (as_f16(scales[group]) * static_cast<float>(levels[i]) + as_f16(biases[group]));
      sums[group] += static_cast<double>(importance[i] * miss * miss);
    }
    return sums;
  }
};

class AffineSearchTest : public testing::TestWithParam<int> {
 protected:
  std::vector<float> normal(int64_t count, float spread) {
    std::normal_distribution<float> values(0, spread);
    std::vector<float> row(static_cast<size_t>(count));
    for (float& value : row) value = values(random_);
    return row;
  }
  std::mt19937 random_{7};
};

TEST_P(AffineSearchTest, NoGroupIsWorseAndTheWholeIsBetter) {
  const int bits = GetParam();
  const int64_t cols = 64 * 40;
  for (const bool weighted : {false, true}) {
    std::vector<float> row = normal(cols, 0.02F);
    row[100] = 1.5F;  // outliers on either side
    row[900] = -0.7F;
    for (size_t i = 64; i < 128; ++i) row[i] = 0.25F;  // and groups without a range
    for (size_t i = 192; i < 256; ++i) row[i] = 0;
    std::vector<float> importance(row.size(), 1);
    if (weighted) {
      for (float& value : importance) value = std::exp(normal(1, 2)[0]);
    }
    Stored plain(cols, bits);
    Stored searched(cols, bits);
    quantize_affine_row(row.data(), cols, bits, kGroup, plain.words.data(), plain.scales.data(),
                        plain.biases.data());
    search_affine_row(row.data(), weighted ? importance.data() : nullptr, cols, bits, kGroup,
                      searched.words.data(), searched.scales.data(), searched.biases.data());
    const std::vector<double> before = plain.errors(row, bits, importance);
    const std::vector<double> after = searched.errors(row, bits, importance);
    double sum_before = 0, sum_after = 0;
    for (size_t group = 0; group < before.size(); ++group) {
      EXPECT_LE(after[group], before[group] * (1 + 1e-6)) << bits << " bits, group " << group;
      EXPECT_EQ(searched.scales[group], as_f16(searched.scales[group]));
      EXPECT_EQ(searched.biases[group], as_f16(searched.biases[group]));
      sum_before += before[group];
      sum_after += after[group];
    }
    EXPECT_LT(sum_after, 0.95 * sum_before) << bits << " bits, weighted " << weighted;
  }
}

// A row that lies on a grid comes back as it was.
TEST_P(AffineSearchTest, AGridIsFound) {
  const int bits = GetParam();
  std::vector<float> row(kGroup);
  std::uniform_int_distribution<int> level(0, (1 << bits) - 1);
  for (float& value : row) value = 0.125F * static_cast<float>(level(random_)) - 3;
  row[0] = -3;
  row[1] = 0.125F * static_cast<float>((1 << bits) - 1) - 3;
  Stored stored(kGroup, bits);
  search_affine_row(row.data(), nullptr, kGroup, bits, kGroup, stored.words.data(),
                    stored.scales.data(), stored.biases.data());
  EXPECT_EQ(stored.errors(row, bits, std::vector<float>(row.size(), 1))[0], 0);
}

INSTANTIATE_TEST_SUITE_P(Widths, AffineSearchTest, testing::Values(2, 3, 4, 6, 8));

}  // namespace
}  // namespace fastvlm
