// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include "kernels/compare.h"

namespace fastvlm {
namespace {

using test::Expected;
using test::Random;
using test::Rows;
using test::Weights;

// What a product reads of a factor's element: at bf16 the nearest one, ties to even.
double as_read(float value, Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kF32) return static_cast<double>(value);
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) & 0xFFFF0000U;
  return static_cast<double>(std::bit_cast<float>(rounded));
}

// A factor [rows, cols], stored as it is or transposed.
struct Stored {
  Rows rows;
  bool transposed;

  Stored(int64_t count, int64_t cols, bool turned, Random& random)
      : rows(turned ? cols : count, turned ? count : cols, (turned ? count : cols) + 3, random),
        transposed(turned) {}
  float at(int64_t r, int64_t c) { return transposed ? rows.row(c)[r] : rows.row(r)[c]; }
  Factor factor() { return {rows.data(), rows.stride(), transposed}; }
};

struct How {
  float scale = 1;  // a power of two, which rounding does not see
  bool add = false;
  Arithmetic arithmetic = Arithmetic::kF32;
};

// left(i, k) and right(k, j) are the factors' elements.
template <typename Left, typename Right>
Expected expected_sum(const GemmShape& shape, const Left& left, const Right& right, const How& how,
                      Rows& before) {
  Expected expected;
  for (int64_t i = 0; i < shape.m; ++i) {
    for (int64_t j = 0; j < shape.n; ++j) {
      double sum = 0;
      double magnitude = 1;
      for (int64_t k = 0; k < shape.depth; ++k) {
        const double term =
            as_read(left(i, k), how.arithmetic) * as_read(right(k, j), how.arithmetic);
        sum += term;
        magnitude += std::abs(term);
      }
      const double start = how.add ? static_cast<double>(before.row(i)[j]) : 0;
      expected.add(start + static_cast<double>(how.scale) * sum,
                   1e-6 * magnitude + 1e-7 * std::abs(start));
    }
  }
  return expected;
}

void check_gemm(const GemmShape& shape, bool turn_a, bool turn_b, const How& how, Random& random) {
  SCOPED_TRACE(cat("m ", shape.m, " n ", shape.n, " depth ", shape.depth, " ", turn_a, turn_b,
                   how.add, static_cast<int>(how.arithmetic)));
  Stored a(shape.m, shape.depth, turn_a, random);
  Stored b(shape.depth, shape.n, turn_b, random);
  Rows before(shape.m, shape.n, shape.n + 1, random);
  const Expected expected = expected_sum(
      shape, [&](int64_t i, int64_t k) { return a.at(i, k); },
      [&](int64_t k, int64_t j) { return b.at(k, j); }, how, before);
  test::compare(expected, [&](ThreadPool& pool) {
    Rows y = before;
    gemm(pool, shape, a.factor(), b.factor(), {y.data(), y.stride(), how.scale, how.add},
         how.arithmetic);
    Rows z = before;
    gemm_alone(shape, a.factor(), b.factor(), {z.data(), z.stride(), how.scale, how.add},
               how.arithmetic);
    EXPECT_EQ(y.values(), z.values());
    return y.values();
  });
}

TEST(Gemm, OddSizesAndEitherSideTransposed) {
  Random random(1);
  for (const GemmShape& shape :
       {GemmShape{1, 1, 1}, GemmShape{5, 17, 3}, GemmShape{33, 40, 385}, GemmShape{97, 16, 20},
        GemmShape{26, 259, 64}, GemmShape{130, 31, 800}}) {
    for (const Arithmetic arithmetic : {Arithmetic::kF32, Arithmetic::kBf16}) {
      for (const bool turn_a : {false, true}) {
        for (const bool turn_b : {false, true}) {
          check_gemm(shape, turn_a, turn_b, {1, false, arithmetic}, random);
          check_gemm(shape, turn_a, turn_b, {0.5F, true, arithmetic}, random);
        }
      }
    }
  }
}

TEST(Gemm, MoreRowsThanAPiece) {
  Random random(2);
  check_gemm({1601, 20, 24}, false, true, {1, true, Arithmetic::kF32}, random);
}

void check_weights(const Weights& weights, int64_t m, Way way, const How& how, Random& random) {
  const MatrixSource& source = weights.source;
  SCOPED_TRACE(cat("type ", static_cast<int>(source.type), " m ", m, " rows ", source.rows,
                   " cols ", source.cols, " group ", source.group, " way ", static_cast<int>(way),
                   " arithmetic ", static_cast<int>(how.arithmetic)));
  std::vector<float> w(static_cast<size_t>(source.rows * source.cols));
  for (int64_t r = 0; r < source.rows; ++r) row_to_f32(source, r, w.data() + r * source.cols);
  const bool forward = way == Way::kForward;
  const int64_t n = forward ? source.rows : source.cols;
  const int64_t depth = forward ? source.cols : source.rows;
  Rows x(m, depth, depth + 2, random);
  Rows before(m, n, n + 1, random);
  const Expected expected = expected_sum(
      {m, n, depth}, [&](int64_t i, int64_t k) { return x.row(i)[k]; },
      [&](int64_t k, int64_t j) {
        return w[static_cast<size_t>(forward ? j * source.cols + k : k * source.cols + j)];
      },
      how, before);
  test::compare(expected, [&](ThreadPool& pool) {
    const Matrix matrix = Matrix::pack(source, pool);
    Rows y = before;
    gemm(pool, x.data(), m, x.stride(), matrix, way, {y.data(), y.stride(), how.scale, how.add},
         how.arithmetic);
    return y.values();
  });
}

TEST(Gemm, WeightsOfEveryTypeBothWays) {
  Random random(3);
  for (const Arithmetic arithmetic : {Arithmetic::kF32, Arithmetic::kBf16}) {
    for (const Way way : {Way::kForward, Way::kBack}) {
      const How set{1, false, arithmetic};
      const How add{2, true, arithmetic};
      for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
        check_weights(Weights(type, 37, 29, random), 7, way, set, random);
        check_weights(Weights(type, 420, 270, random), 33, way, add, random);
      }
      for (const WeightType type : {WeightType::kQ4, WeightType::kQ8}) {
        check_weights(Weights(type, 37, 64, random), 5, way, set, random);
        check_weights(Weights(type, 401, 384, random), 30, way, add, random);
      }
    }
  }
  check_weights(Weights(WeightType::kQ4, 50, 480, random, WeightType::kF16, 160), 3, Way::kForward,
                {}, random);
  check_weights(Weights(WeightType::kQ4, 50, 480, random, WeightType::kF16, 160), 3, Way::kBack, {},
                random);
}

TEST(Gemm, SomeRowsOfTheWeights) {
  Random random(4);
  ThreadPool& pool = test::pool_of(2);
  const Weights weights(WeightType::kQ4, 90, 64, random);
  const Matrix all = Matrix::pack(weights.source, pool);
  MatrixSource part = weights.source;  // rows 32 to 79
  part.rows = 47;
  part.data = static_cast<const char*>(part.data) + 32 * 64 / 2;
  part.scales = static_cast<const char*>(part.scales) + 32 * 2;
  part.biases = static_cast<const char*>(part.biases) + 32 * 2;
  const Matrix some = Matrix::pack(part, pool);
  for (const Way way : {Way::kForward, Way::kBack}) {
    const int64_t n = way == Way::kForward ? 47 : 64;
    const int64_t depth = 111 - n;
    Rows x(5, depth, depth, random);
    Rows expected(5, n, n);
    gemm(pool, x.data(), 5, depth, some, way, {expected.data(), n});
    Rows y(5, n, n);
    gemm(pool, x.data(), 5, depth, {all, 32, 79}, way, {y.data(), n});
    EXPECT_EQ(y.values(), expected.values());
  }
}

}  // namespace
}  // namespace fastvlm
