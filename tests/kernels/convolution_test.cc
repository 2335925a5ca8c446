// SPDX-License-Identifier: Apache-2.0
#include "kernels/convolution.h"

#include "kernels/compare.h"
#include "kernels/pooling.h"
#include "kernels/spatial_convolution.h"
#include "kernels/winograd.h"

namespace fastvlm {
namespace {

using test::Expected;
using test::Random;

struct Shape {
  int64_t height, width, channels;
  int kernel, stride, multiplier;
};

double activated(Activation activation, double x) {
  if (activation == Activation::kRelu) return std::max(x, 0.0);
  if (activation == Activation::kNone) return x;
  if (activation == Activation::kSilu) return x / (1.0 + std::exp(-x));
  return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
}

// A grouped convolution as PyTorch defines it: weights [outputs, inputs a group, kernel, kernel].
Expected convolve(const Shape& s, int64_t outputs, int64_t inputs, const std::vector<float>& x,
                  const std::vector<float>& weights, const std::vector<float>& bias,
                  Activation activation) {
  Expected expected;
  const int64_t groups = s.channels / inputs;
  for (int64_t oy = 0; oy < (s.height + s.stride - 1) / s.stride; ++oy) {
    for (int64_t ox = 0; ox < (s.width + s.stride - 1) / s.stride; ++ox) {
      for (int64_t o = 0; o < outputs; ++o) {
        auto sum = static_cast<double>(bias[static_cast<size_t>(o)]);
        double magnitude = 1.0;
        for (int64_t i = 0; i < inputs; ++i) {
          const int64_t c = o / (outputs / groups) * inputs + i;
          for (int64_t ky = 0; ky < s.kernel; ++ky) {
            for (int64_t kx = 0; kx < s.kernel; ++kx) {
              const int64_t y = oy * s.stride + ky - s.kernel / 2;
              const int64_t column = ox * s.stride + kx - s.kernel / 2;
              if (y < 0 || y >= s.height || column < 0 || column >= s.width) continue;
              const double term =
                  static_cast<double>(
                      x[static_cast<size_t>((y * s.width + column) * s.channels + c)]) *
                  static_cast<double>(weights[static_cast<size_t>(
                      ((o * inputs + i) * s.kernel + ky) * s.kernel + kx)]);
              sum += term;
              magnitude += std::abs(term);
            }
          }
        }
        expected.add(activated(activation, sum), 6e-7 * magnitude);
      }
    }
  }
  return expected;
}

void check_depthwise(const Shape& s, Activation activation) {
  SCOPED_TRACE(cat(s.height, " x ", s.width, " x ", s.channels, " kernel ", s.kernel, " stride ",
                   s.stride, " multiplier ", s.multiplier));
  Random random(static_cast<uint32_t>(s.width * 31 + s.channels));
  const int64_t outputs = s.channels * s.multiplier;
  const std::vector<float> x = random.normals(s.height * s.width * s.channels);
  const std::vector<float> weights = random.normals(outputs * s.kernel * s.kernel);
  const std::vector<float> bias = random.normals(outputs);
  const DepthwiseConvolution conv = make_depthwise(weights, bias, s.kernel, s.stride, s.multiplier);
  EXPECT_EQ(conv.channels_out(), outputs);
  const Expected expected = convolve(s, outputs, 1, x, weights, bias, activation);
  test::compare(expected, [&](ThreadPool& pool) {
    std::vector<float> y(expected.exact.size() + 1, test::Rows::kMarker);
    depthwise(pool, x.data(), s.height, s.width, conv, y.data(), activation);
    EXPECT_EQ(y.back(), test::Rows::kMarker);
    y.pop_back();
    return y;
  });
}

TEST(Depthwise, OddShapes) {
  const int64_t sizes[][3] = {{1, 1, 1},   {2, 3, 5},    {7, 5, 16}, {8, 8, 33},
                              {9, 17, 24}, {16, 16, 40}, {5, 33, 8}, {20, 12, 64}};
  for (const auto& size : sizes) {
    for (const int kernel : {1, 3, 5, 7}) {
      for (const int stride : {1, 2}) {
        for (const int multiplier : {1, 2}) {
          check_depthwise({size[0], size[1], size[2], kernel, stride, multiplier},
                          Activation::kNone);
        }
      }
    }
  }
  check_depthwise({6, 9, 7, 3, 3, 3}, Activation::kNone);
}

// Maps of whole tiles, on whose borders the sums leave taps out instead of reading zeros.
TEST(Depthwise, Borders) {
  const int64_t sizes[][3] = {{1, 8, 16}, {2, 16, 16},  {3, 24, 32},  {5, 32, 16},
                              {8, 8, 48}, {16, 16, 16}, {13, 40, 16}, {6, 26, 32}};
  for (const auto& size : sizes) {
    for (const int kernel : {3, 7}) {
      for (const int stride : {1, 2}) {
        check_depthwise({size[0], size[1], size[2], kernel, stride, 1}, Activation::kNone);
        check_depthwise({size[0], size[1], size[2], kernel, stride, 1}, Activation::kGelu);
        check_depthwise({size[0], size[1], size[2], kernel, stride, 2}, Activation::kGelu);
      }
    }
  }
}

TEST(Depthwise, Activations) {
  for (const int multiplier : {1, 2}) {
    check_depthwise({9, 10, 20, 7, 1, multiplier}, Activation::kGelu);
    check_depthwise({9, 10, 20, 3, 2, multiplier}, Activation::kRelu);
    check_depthwise({9, 10, 20, 3, 1, multiplier}, Activation::kSilu);
  }
}

// Maps with room between their pixels, as parts of a wider one. `make(pool, weights, bias)` makes
// the convolution; its error is at most `relative` of all products' magnitudes.
template <typename Make>
void check_convolution(const Shape& s, int64_t outputs, double relative, const Make& make) {
  SCOPED_TRACE(cat(s.height, " x ", s.width, " x ", s.channels, " kernel ", s.kernel, " stride ",
                   s.stride, " to ", outputs));
  Random random(11);
  const std::vector<float> x = random.normals(s.height * s.width * s.channels);
  const std::vector<float> weights = random.normals(outputs * s.channels * s.kernel * s.kernel);
  const std::vector<float> bias = random.normals(outputs);
  Expected expected = convolve(s, outputs, s.channels, x, weights, bias, Activation::kSilu);
  for (double& bound : expected.bound) bound *= relative / 6e-7;
  const std::vector<float> residual = random.normals(static_cast<int64_t>(expected.exact.size()));
  for (size_t i = 0; i < residual.size(); ++i) expected.exact[i] += double{residual[i]};
  const int64_t x_stride = s.channels + 5;
  std::vector<float> wide(static_cast<size_t>(s.height * s.width * x_stride), 1e9F);
  for (int64_t i = 0; i < s.height * s.width; ++i) {
    std::copy_n(x.begin() + i * s.channels, s.channels, wide.begin() + i * x_stride);
  }
  test::compare(expected, [&](ThreadPool& pool) {
    const auto conv = make(pool, weights, bias);
    const int64_t y_stride = outputs + 3;
    const int64_t pixels = static_cast<int64_t>(expected.exact.size()) / outputs;
    std::vector<float> wide_y(static_cast<size_t>(pixels * y_stride), test::Rows::kMarker);
    convolve(
        pool, {wide.data(), s.height, s.width, x_stride}, conv, wide_y.data(), y_stride,
        {.activation = Activation::kSilu, .residual = residual.data(), .residual_stride = outputs});
    std::vector<float> y(expected.exact.size());
    for (int64_t i = 0; i < pixels; ++i) {
      std::copy_n(wide_y.begin() + i * y_stride, outputs, y.begin() + i * outputs);
      for (int64_t j = outputs; j < y_stride; ++j) {
        EXPECT_EQ(wide_y[static_cast<size_t>(i * y_stride + j)], test::Rows::kMarker);
      }
    }
    return y;
  });
}

void check_spatial(const Shape& s, int64_t outputs, Arithmetic arithmetic, double relative) {
  check_convolution(
      s, outputs, relative, [&](ThreadPool& pool, const auto& weights, const auto& bias) {
        return make_spatial(pool, weights, bias, s.channels, s.kernel, s.stride, arithmetic);
      });
}

TEST(Spatial, OddShapes) {
  for (const auto& s :
       {Shape{1, 1, 3, 3, 2, 0}, Shape{9, 14, 3, 3, 2, 0}, Shape{6, 5, 17, 3, 1, 0},
        Shape{8, 8, 33, 5, 2, 0}, Shape{33, 20, 8, 3, 1, 0}, Shape{9, 14, 4, 3, 2, 0},
        Shape{7, 29, 20, 3, 1, 0}, Shape{5, 13, 36, 5, 1, 0}}) {
    for (const int64_t outputs : {1, 16, 37}) {
      check_spatial(s, outputs, Arithmetic::kF32, 6e-7);
      check_spatial(s, outputs, Arithmetic::kBf16, 0.01);
      check_spatial(s, outputs, Arithmetic::kInt8, 0.06);
    }
  }
}

// Evaluating and interpolating cost a few bits: the plain sum's bound is 6e-7.
TEST(Winograd, OddShapes) {
  for (const auto& s :
       {Shape{1, 1, 1, 3, 1, 0}, Shape{4, 4, 16, 3, 1, 0}, Shape{6, 5, 17, 3, 1, 0},
        Shape{33, 20, 8, 3, 1, 0}, Shape{7, 29, 20, 3, 1, 0}, Shape{12, 37, 40, 3, 1, 0}}) {
    for (const int64_t outputs : {1, 8, 16, 37, 64}) {
      check_convolution(s, outputs, 3e-6,
                        [&](ThreadPool& pool, const auto& weights, const auto& bias) {
                          return make_winograd(pool, weights, bias, s.channels);
                        });
    }
  }
}

TEST(Pooling, GreatestOfTheWindow) {
  Random random(3);
  for (const auto& [height, width] : {std::pair<int64_t, int64_t>{1, 1}, {2, 7}, {9, 6}}) {
    constexpr int64_t kChannels = 3;
    constexpr int64_t kStride = 4;
    const std::vector<float> x = random.normals(height * width * kStride);
    std::vector<float> y(x.size());
    max_pool_5(test::pool_of(2), x.data(), height, width, kChannels, kStride, y.data(), kStride);
    for (int64_t i = 0; i < height * width * kStride; ++i) {
      const int64_t c = i % kStride;
      if (c == kChannels) continue;
      float greatest = -1e9F;
      for (int64_t ky = -2; ky <= 2; ++ky) {
        for (int64_t kx = -2; kx <= 2; ++kx) {
          const int64_t in_y = i / kStride / width + ky;
          const int64_t in_x = i / kStride % width + kx;
          if (in_y < 0 || in_y >= height || in_x < 0 || in_x >= width) continue;
          greatest =
              std::max(greatest, x[static_cast<size_t>((in_y * width + in_x) * kStride + c)]);
        }
      }
      EXPECT_EQ(y[static_cast<size_t>(i)], greatest);
    }
  }
}

TEST(Dense, OddShapes) {
  for (const auto& s : {Shape{1, 1, 3, 3, 2, 0}, Shape{9, 14, 3, 3, 2, 0}, Shape{6, 5, 2, 3, 1, 0},
                        Shape{8, 8, 1, 5, 2, 0}, Shape{33, 20, 3, 3, 2, 0}}) {
    for (const int64_t outputs : {1, 16, 21}) {
      Random random(7);
      const std::vector<float> x = random.normals(s.height * s.width * s.channels);
      const std::vector<float> weights = random.normals(outputs * s.channels * s.kernel * s.kernel);
      const std::vector<float> bias = random.normals(outputs);
      const Expected expected =
          convolve(s, outputs, s.channels, x, weights, bias, Activation::kGelu);
      test::compare(expected, [&](ThreadPool& pool) {
        const DenseConvolution conv =
            make_dense(pool, weights, bias, s.channels, s.kernel, s.stride);
        std::vector<float> y(expected.exact.size());
        dense(pool, x.data(), s.height, s.width, conv, y.data(), Activation::kGelu);
        return y;
      });
    }
  }
}

// Rows of one to several strips, kernels that reach over one and over several rows, odd strides.
TEST(Dense, BeforeDepthwiseIsTheSameInStrips) {
  struct Pair {
    Shape first;
    int kernel, stride;
  };
  for (const Pair& pair : {Pair{{1, 1, 3, 3, 2, 0}, 3, 2}, Pair{{9, 14, 3, 3, 2, 0}, 3, 2},
                           Pair{{90, 300, 3, 3, 2, 0}, 3, 2}, Pair{{31, 500, 1, 3, 1, 0}, 5, 3},
                           Pair{{18, 1600, 1, 5, 2, 0}, 7, 2}, Pair{{40, 700, 2, 3, 2, 0}, 7, 1}}) {
    const Shape& s = pair.first;
    const int kernel = pair.kernel;
    const int stride = pair.stride;
    SCOPED_TRACE(testing::Message() << s.height << " x " << s.width << ", " << kernel);
    constexpr int64_t kBetween = 48;
    Random random(9);
    const std::vector<float> x = random.normals(s.height * s.width * s.channels);
    const auto weights = random.normals(kBetween * s.channels * s.kernel * s.kernel);
    const DepthwiseConvolution second = make_depthwise(random.normals(kBetween * kernel * kernel),
                                                       random.normals(kBetween), kernel, stride, 1);
    const std::vector<float> bias = random.normals(kBetween);
    test::for_each_isa([&] {
      ThreadPool& one = test::pool_of(1);
      const DenseConvolution first = make_dense(one, weights, bias, s.channels, s.kernel, s.stride);
      const int64_t height = (s.height + s.stride - 1) / s.stride;
      const int64_t width = (s.width + s.stride - 1) / s.stride;
      std::vector<float> between(static_cast<size_t>(height * width * kBetween));
      dense(one, x.data(), s.height, s.width, first, between.data(), Activation::kGelu);
      std::vector<float> expected(static_cast<size_t>((height + stride - 1) / stride *
                                                      ((width + stride - 1) / stride) * kBetween));
      depthwise(one, between.data(), height, width, second, expected.data(), Activation::kGelu);
      for (const int threads : {1, 2, 3}) {
        std::vector<float> found(expected.size());
        dense_depthwise(test::pool_of(threads), x.data(), s.height, s.width, first, second,
                        found.data(), Activation::kGelu);
        ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0)
            << threads;
      }
    });
  }
}

TEST(Channels, MeanAndScaledGelu) {
  Random random(8);
  for (const int64_t rows : {1, 5, 64, 75}) {
    for (const int64_t channels : {1, 16, 37}) {
      const std::vector<float> x = random.normals(rows * channels);
      const std::vector<float> scale = random.normals(channels);
      Expected mean;
      Expected scaled;
      for (int64_t c = 0; c < channels; ++c) {
        double sum = 0.0;
        for (int64_t r = 0; r < rows; ++r) {
          sum += static_cast<double>(x[static_cast<size_t>(r * channels + c)]);
        }
        mean.add(sum / static_cast<double>(rows), 1e-6);
      }
      for (size_t i = 0; i < x.size(); ++i) {
        const double factor = static_cast<double>(scale[i % static_cast<size_t>(channels)]);
        scaled.add(activated(Activation::kGelu, static_cast<double>(x[i]) * factor), 3e-6);
      }
      test::compare(mean, [&](ThreadPool& pool) {
        std::vector<float> found(static_cast<size_t>(channels));
        channel_mean(pool, x.data(), rows, channels, found.data());
        return found;
      });
      test::compare(scaled, [&](ThreadPool& pool) {
        std::vector<float> found = x;
        scale_channels_gelu(pool, found.data(), rows, channels, scale.data());
        return found;
      });
    }
  }
}

}  // namespace
}  // namespace fastvlm
