// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm.h"

#include "kernels/compare.h"

namespace fastvlm {
namespace {

using test::Expected;
using test::Random;
using test::Rows;
using test::Weights;

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

// element(i, k) and weight(k, j) are the factors' elements.
template <typename Left, typename Right>
Expected expected_sum(const GemmShape& shape, const Left& left, const Right& right, float scale,
                      Rows* before) {
  Expected expected;
  for (int64_t i = 0; i < shape.m; ++i) {
    for (int64_t j = 0; j < shape.n; ++j) {
      double sum = 0;
      double magnitude = 1;
      for (int64_t k = 0; k < shape.depth; ++k) {
        const double term = static_cast<double>(left(i, k)) * static_cast<double>(right(k, j));
        sum += term;
        magnitude += std::abs(term);
      }
      const double start = before == nullptr ? 0 : static_cast<double>(before->row(i)[j]);
      expected.add(start + static_cast<double>(scale) * sum, 1e-6 * magnitude + 1e-7 * start);
    }
  }
  return expected;
}

void check_gemm(const GemmShape& shape, bool turn_a, bool turn_b, bool add, Random& random) {
  SCOPED_TRACE(
      cat("m ", shape.m, " n ", shape.n, " depth ", shape.depth, " ", turn_a, turn_b, add));
  Stored a(shape.m, shape.depth, turn_a, random);
  Stored b(shape.depth, shape.n, turn_b, random);
  Rows before(shape.m, shape.n, shape.n + 1, random);
  const float scale = add ? 0.5F : 1.0F;
  const Expected expected = expected_sum(
      shape, [&](int64_t i, int64_t k) { return a.at(i, k); },
      [&](int64_t k, int64_t j) { return b.at(k, j); }, scale, add ? &before : nullptr);
  std::vector<float> alone;
  test::compare(expected, [&](ThreadPool& pool) {
    Rows y = before;
    gemm(pool, shape, a.factor(), b.factor(), {y.data(), y.stride(), scale, add});
    Rows z = before;
    gemm_alone(shape, a.factor(), b.factor(), {z.data(), z.stride(), scale, add});
    EXPECT_EQ(y.values(), z.values());
    return y.values();
  });
}

TEST(Gemm, OddSizesAndEitherSideTransposed) {
  Random random(1);
  for (const GemmShape& shape :
       {GemmShape{1, 1, 1}, GemmShape{5, 17, 3}, GemmShape{33, 40, 385}, GemmShape{97, 16, 20},
        GemmShape{26, 259, 64}, GemmShape{130, 31, 800}}) {
    for (const bool turn_a : {false, true}) {
      for (const bool turn_b : {false, true}) {
        for (const bool add : {false, true}) check_gemm(shape, turn_a, turn_b, add, random);
      }
    }
  }
}

TEST(Gemm, MoreRowsThanAPiece) {
  Random random(2);
  check_gemm({1601, 20, 24}, false, true, true, random);
}

void check_transposed(const Weights& weights, int64_t m, bool add, Random& random) {
  const MatrixSource& source = weights.source;
  SCOPED_TRACE(cat("type ", static_cast<int>(source.type), " m ", m, " rows ", source.rows,
                   " cols ", source.cols, " group ", source.group));
  std::vector<float> w(static_cast<size_t>(source.rows * source.cols));
  for (int64_t r = 0; r < source.rows; ++r) row_to_f32(source, r, w.data() + r * source.cols);
  const GemmShape shape{m, source.cols, source.rows};
  Rows x(m, source.rows, source.rows + 2, random);
  Rows before(m, source.cols, source.cols + 1, random);
  const float scale = add ? 2.0F : 1.0F;
  const Expected expected = expected_sum(
      shape, [&](int64_t i, int64_t k) { return x.row(i)[k]; },
      [&](int64_t k, int64_t j) { return w[static_cast<size_t>(k * source.cols + j)]; }, scale,
      add ? &before : nullptr);
  test::compare(expected, [&](ThreadPool& pool) {
    const Matrix matrix = Matrix::pack(source, pool);
    Rows y = before;
    matmul_transposed(pool, x.data(), m, x.stride(), matrix, {y.data(), y.stride(), scale, add});
    return y.values();
  });
}

TEST(MatmulTransposed, EveryTypeOfWeights) {
  Random random(3);
  for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
    check_transposed(Weights(type, 37, 29, random), 7, false, random);
    check_transposed(Weights(type, 420, 270, random), 33, true, random);
  }
  for (const WeightType type : {WeightType::kQ4, WeightType::kQ8}) {
    check_transposed(Weights(type, 37, 64, random), 5, false, random);
    check_transposed(Weights(type, 401, 384, random), 30, true, random);
  }
}

}  // namespace
}  // namespace fastvlm
