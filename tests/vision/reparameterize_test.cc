// SPDX-License-Identifier: Apache-2.0
// Folded convolutions against the branches computed one by one.
#include "vision/reparameterize.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>

namespace fastvlm {
namespace {

std::mt19937 random_numbers(7);  // NOLINT: the same tests every time

std::vector<double> random_doubles(int64_t count, double low = -1.0, double high = 1.0) {
  std::uniform_real_distribution<double> uniform(low, high);
  std::vector<double> values(static_cast<size_t>(count));
  for (double& value : values) value = uniform(random_numbers);
  return values;
}

FoldableConvolution random_convolution(int64_t outputs, int64_t inputs, int64_t kernel) {
  return {outputs, inputs, kernel, random_doubles(outputs * inputs * kernel * kernel),
          random_doubles(outputs)};
}

ChannelAffine random_affine(int64_t channels) {
  return {random_doubles(channels), random_doubles(channels)};
}

// x [channels, side, side] -> [outputs, side, side], zeros outside, straight from the definition.
struct Grid {
  int64_t channels = 0;
  int64_t side = 0;
  std::vector<double> values;

  double at(int64_t c, int64_t y, int64_t x) const {
    if (y < 0 || x < 0 || y >= side || x >= side) return 0.0;
    return values[static_cast<size_t>((c * side + y) * side + x)];
  }
};

Grid convolve(const Grid& x, const FoldableConvolution& conv) {
  const int64_t outputs_per_group = conv.outputs * conv.inputs / x.channels;
  const int64_t margin = conv.kernel / 2;
  Grid y{conv.outputs, x.side, {}};
  for (int64_t o = 0; o < conv.outputs; ++o) {
    for (int64_t row = 0; row < x.side; ++row) {
      for (int64_t column = 0; column < x.side; ++column) {
        double sum = conv.bias[static_cast<size_t>(o)];
        for (int64_t i = 0; i < conv.inputs; ++i) {
          const int64_t channel = o / outputs_per_group * conv.inputs + i;
          for (int64_t tap = 0; tap < conv.kernel * conv.kernel; ++tap) {
            const auto at =
                static_cast<size_t>((o * conv.inputs + i) * conv.kernel * conv.kernel + tap);
            sum += conv.weights[at] * x.at(channel, row + tap / conv.kernel - margin,
                                           column + tap % conv.kernel - margin);
          }
        }
        y.values.push_back(sum);
      }
    }
  }
  return y;
}

Grid normalise(Grid x, const ChannelAffine& norm) {
  const auto area = static_cast<size_t>(x.side * x.side);
  for (size_t i = 0; i < x.values.size(); ++i) {
    x.values[i] = x.values[i] * norm.scale[i / area] + norm.shift[i / area];
  }
  return x;
}

Grid random_grid(int64_t channels) {
  return {channels, 5, random_doubles(channels * 25)};
}

void expect_equal(const Grid& a, const Grid& b) {
  ASSERT_EQ(a.values.size(), b.values.size());
  for (size_t i = 0; i < a.values.size(); ++i) EXPECT_NEAR(a.values[i], b.values[i], 1e-12);
}

struct Case {
  const char* name;
  int64_t channels;  // of the input
  int64_t outputs;
  int64_t inputs;  // per group
  int64_t kernel;
};

class Fold : public testing::TestWithParam<Case> {};

TEST_P(Fold, ConvolutionFollowedByNorm) {
  const Case shape = GetParam();
  const auto conv = random_convolution(shape.outputs, shape.inputs, shape.kernel);
  const auto norm = random_affine(shape.outputs);
  const Grid x = random_grid(shape.channels);
  expect_equal(convolve(x, followed_by(conv, norm)), normalise(convolve(x, conv), norm));
}

TEST_P(Fold, SumOfBranches) {
  const Case shape = GetParam();
  const auto large = random_convolution(shape.outputs, shape.inputs, shape.kernel);
  const auto small = random_convolution(shape.outputs, shape.inputs, 1);
  auto sum = large;
  add_branch(sum, small);
  const Grid x = random_grid(shape.channels);
  Grid expected = convolve(x, large);
  const Grid other = convolve(x, small);
  for (size_t i = 0; i < expected.values.size(); ++i) expected.values[i] += other.values[i];
  expect_equal(convolve(x, sum), expected);
}

INSTANTIATE_TEST_SUITE_P(Shapes, Fold,
                         testing::Values(Case{"depthwise3", 4, 4, 1, 3},
                                         Case{"depthwise7", 3, 3, 1, 7},
                                         Case{"two_outputs_an_input", 3, 6, 1, 3},
                                         Case{"dense1", 5, 5, 5, 1}, Case{"dense3", 3, 8, 3, 3},
                                         Case{"grouped", 6, 6, 2, 3}),
                         [](const auto& shape) { return std::string(shape.param.name); });

TEST(Reparameterize, IdentityReturnsItsInput) {
  for (const auto& [channels, inputs, kernel] :
       {std::array{4, 1, 3}, {3, 1, 7}, {5, 5, 1}, {6, 2, 3}}) {
    const Grid x = random_grid(channels);
    expect_equal(convolve(x, identity_convolution(channels, inputs, kernel)), x);
  }
}

// A 3x3 branch sits in the middle of a 7x7 one.
TEST(Reparameterize, SmallKernelIsCentred) {
  const auto large = random_convolution(4, 1, 7);
  const auto small = random_convolution(4, 1, 3);
  auto sum = large;
  add_branch(sum, small);
  const Grid x = random_grid(4);
  Grid expected = convolve(x, large);
  const Grid other = convolve(x, small);
  for (size_t i = 0; i < expected.values.size(); ++i) expected.values[i] += other.values[i];
  expect_equal(convolve(x, sum), expected);
}

// x + scale * (mixer(x) - norm(x)) as one convolution.
TEST(Reparameterize, TokenMixer) {
  const auto mixer = random_convolution(4, 1, 3);
  const auto norm = random_affine(4);
  const auto scale = random_doubles(4);
  const auto identity = identity_convolution(4, 1, 3);
  auto folded = mixer;
  add_branch(folded, scaled(followed_by(identity, norm), std::vector<double>(4, -1.0)));
  folded = scaled(folded, scale);
  add_branch(folded, identity);

  const Grid x = random_grid(4);
  const Grid mixed = convolve(x, mixer);
  const Grid normed = normalise(x, norm);
  Grid expected = x;
  for (size_t i = 0; i < x.values.size(); ++i) {
    expected.values[i] += scale[i / 25] * (mixed.values[i] - normed.values[i]);
  }
  expect_equal(convolve(x, folded), expected);
}

TEST(Reparameterize, StatisticsOfABatchNorm) {
  const auto folded = fold_statistics({2.0F, 1.0F}, {0.5F, 0.0F}, {3.0F, 0.0F}, {4.0F, 0.0F});
  EXPECT_DOUBLE_EQ(folded.scale[0], 2.0 / std::sqrt(4.00001));
  EXPECT_DOUBLE_EQ(folded.shift[0], 0.5 - 3.0 * 2.0 / std::sqrt(4.00001));
  EXPECT_DOUBLE_EQ(folded.scale[1], 1.0 / std::sqrt(1e-5));
}

}  // namespace
}  // namespace fastvlm
