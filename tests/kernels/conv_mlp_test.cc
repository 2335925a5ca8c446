// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv_mlp.h"

#include "kernels/compare.h"
#include "kernels/dot_matmul.h"

namespace fastvlm {
namespace {

using test::Random;

struct MapSize {
  int64_t height, width, channels;
};

// Shorter and longer than what a thread makes ahead, and tiles of one, two and many rows.
constexpr MapSize kMaps[] = {{1, 5, 16}, {2, 200, 20}, {7, 9, 48}, {41, 33, 16}, {50, 70, 16}};

DepthwiseConvolution depthwise_of(int64_t channels, int kernel, Random& random) {
  return make_depthwise(random.normals(channels * kernel * kernel, 0.2F), random.normals(channels),
                        kernel, 1, 1);
}

// conv_mlp() and mixed_conv_mlp() of one map, against one step after the other.
template <typename Pack>
void compare_walks(int64_t height, int64_t width, int64_t channels, const Pack& pack) {
  Random random(7);
  const int64_t pixels = height * width;
  const int64_t hidden = 3 * channels;
  const auto x = random.normals(pixels * channels);
  const DepthwiseConvolution mixer = depthwise_of(channels, 3, random);
  const DepthwiseConvolution conv = depthwise_of(channels, 7, random);
  const auto weights1 = random.normals(hidden * channels, 0.3F);
  const auto weights2 = random.normals(channels * hidden, 0.3F);
  const auto bias1 = random.normals(hidden);
  const auto bias2 = random.normals(channels);
  const auto scale = random.normals(channels);
  test::for_each_isa([&] {
    ThreadPool& one = test::pool_of(1);
    const auto fc1 =
        pack(MatrixSource{.rows = hidden, .cols = channels, .data = weights1.data()}, one);
    const auto fc2 =
        pack(MatrixSource{.rows = channels, .cols = hidden, .data = weights2.data()}, one);
    std::vector<float> mixed(x.size()), convolved(x.size()), expected(x.size());
    depthwise(one, x.data(), height, width, mixer, mixed.data());
    depthwise(one, mixed.data(), height, width, conv, convolved.data());
    const Epilogue alone{.bias = bias2.data(), .scale = scale.data()};
    Epilogue added = alone;
    added.residual = mixed.data();
    added.residual_stride = channels;
    mlp(one, convolved.data(), pixels, channels, fc1, bias1.data(), fc2, expected.data(), channels,
        added);
    for (const int threads : {1, 2, 3}) {
      SCOPED_TRACE(threads);
      ThreadPool& pool = test::pool_of(threads);
      std::vector<float> found(x.size());
      conv_mlp(pool, mixed.data(), height, width, conv, fc1, bias1.data(), fc2, found.data(),
               added);
      ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0);
      std::vector<float> mixed_too(x.size());
      mixed_conv_mlp(pool, x.data(), height, width, mixer, conv, fc1, bias1.data(), fc2,
                     mixed_too.data(), alone);
      ASSERT_EQ(std::memcmp(mixed_too.data(), expected.data(), found.size() * sizeof(float)), 0);
    }
  });
}

template <typename Pack>
void same_as_one_after_the_other(const Pack& pack) {
  for (const MapSize& map : kMaps) {
    SCOPED_TRACE(testing::Message() << map.height << " x " << map.width << " x " << map.channels);
    compare_walks(map.height, map.width, map.channels, pack);
  }
}

TEST(ConvMlp, F32IsTheSameInOneWalk) {
  same_as_one_after_the_other(
      [](const MatrixSource& source, ThreadPool& pool) { return Matrix::pack(source, pool); });
}

TEST(ConvMlp, RoundedIsTheSameInOneWalk) {
  for (const Arithmetic arithmetic : {Arithmetic::kInt8, Arithmetic::kBf16}) {
    same_as_one_after_the_other([&](const MatrixSource& source, ThreadPool& pool) {
      return DotMatrix::pack(source, arithmetic, pool);
    });
  }
}

}  // namespace
}  // namespace fastvlm
