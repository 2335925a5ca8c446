// SPDX-License-Identifier: Apache-2.0
// Products at bf16 and int8 against the same sums of the same rounded numbers in double precision.
#include "kernels/dot_matmul.h"

#include "kernels/compare.h"
#include "kernels/dot_kernels.h"

namespace fastvlm {
namespace {

using test::Expected;
using test::Random;
using test::Rows;
using test::Weights;

double exact_gelu(double x) {
  return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
}

// The numbers that a product multiplies in place of `values`: at bf16 the nearest of 8 bits, at
// int8 one of 256 steps between the least and the greatest of each group.
std::vector<double> as_activations(Arithmetic arithmetic, const float* values, int64_t count) {
  std::vector<double> rounded(static_cast<size_t>(count));
  const DotTable& table = kReferenceDot;
  if (arithmetic == Arithmetic::kBf16) {
    std::vector<uint16_t> bits(rounded.size());
    table.round(values, count, bits.data());
    for (size_t i = 0; i < bits.size(); ++i) rounded[i] = static_cast<double>(bf16_to_f32(bits[i]));
    return rounded;
  }
  std::vector<uint8_t> codes(rounded.size());
  for (int64_t c = 0; c < count; c += kDotGroup) {
    const int64_t width = std::min(kDotGroup, count - c);
    const GroupScale scale = table.quantise(values + c, width, codes.data() + c);
    for (int64_t i = c; i < c + width; ++i) {
      rounded[static_cast<size_t>(i)] =
          static_cast<double>(scale.step) * codes[static_cast<size_t>(i)] +
          static_cast<double>(scale.base);
    }
  }
  return rounded;
}

// The same for the weights of one output.
std::vector<double> as_weights(Arithmetic arithmetic, const std::vector<float>& values) {
  if (arithmetic == Arithmetic::kBf16) {
    return as_activations(arithmetic, values.data(), static_cast<int64_t>(values.size()));
  }
  float largest = 0.0F;
  for (const float value : values) largest = std::max(largest, std::abs(value));
  std::vector<double> rounded;
  for (const float value : values) {
    const float q = largest == 0.0F ? 0.0F : std::nearbyint(value * (127.0F / largest));
    rounded.push_back(static_cast<double>(q) * static_cast<double>(largest / 127.0F));
  }
  return rounded;
}

double activated(Activation activation, double x) {
  if (activation == Activation::kGelu) return exact_gelu(x);
  return activation == Activation::kRelu ? std::max(x, 0.0) : x;
}

struct Sum {
  double value = 0.0;
  double magnitude = 0.0;  // of the terms, for the rounding of f32 sums
};

Sum sum_of_products(const std::vector<double>& x, const std::vector<double>& w, float bias) {
  Sum sum{static_cast<double>(bias), 1.0};
  for (size_t c = 0; c < x.size(); ++c) {
    sum.value += x[c] * w[c];
    sum.magnitude += std::abs(x[c] * w[c]);
  }
  return sum;
}

std::vector<std::vector<double>> rounded_weights(Arithmetic arithmetic,
                                                 const MatrixSource& source) {
  std::vector<std::vector<double>> rows;
  std::vector<float> row(static_cast<size_t>(source.cols));
  for (int64_t j = 0; j < source.rows; ++j) {
    row_to_f32(source, j, row.data());
    rows.push_back(as_weights(arithmetic, row));
  }
  return rows;
}

void check_product(Arithmetic arithmetic, const Weights& weights, Rows& x, int64_t m,
                   Activation activation, Random& random) {
  const int64_t n = weights.source.rows;
  const int64_t k = weights.source.cols;
  SCOPED_TRACE(cat("arithmetic ", static_cast<int>(arithmetic), " m ", m, " n ", n, " k ", k));
  Rows residual(m, n, n + 2, random);
  const std::vector<float> bias = random.normals(n);
  const std::vector<float> scale = random.normals(n);
  const auto w = rounded_weights(arithmetic, weights.source);
  Expected expected;
  for (int64_t r = 0; r < m; ++r) {
    const auto row = as_activations(arithmetic, x.row(r), k);
    for (size_t j = 0; j < w.size(); ++j) {
      const Sum sum = sum_of_products(row, w[j], bias[j]);
      expected.add(activated(activation, sum.value) * static_cast<double>(scale[j]) +
                       static_cast<double>(residual.row(r)[static_cast<int64_t>(j)]),
                   (4e-6 + 2e-6 * sum.magnitude) * (1.0 + std::abs(static_cast<double>(scale[j]))));
    }
  }
  test::compare(expected, [&](ThreadPool& pool) {
    const DotMatrix matrix = DotMatrix::pack(weights.source, arithmetic, pool);
    Rows y = m % 2 == 0 ? residual : Rows(m, n, n + 2);
    const Epilogue epilogue{.bias = bias.data(),
                            .activation = activation,
                            .scale = scale.data(),
                            .residual = m % 2 == 0 ? y.data() : residual.data(),
                            .residual_stride = residual.stride()};
    matmul(pool, x.data(), m, x.stride(), matrix, y.data(), y.stride(), epilogue);
    return y.values();
  });
}

class DotMatmul : public testing::TestWithParam<Arithmetic> {};

TEST_P(DotMatmul, EveryNumberOfRows) {
  Random random(1);
  for (int64_t m = 1; m <= 40; ++m) {
    Rows x(m, 29, 31, random);
    check_product(GetParam(), Weights(WeightType::kF32, 37, 29, random), x, m, Activation::kNone,
                  random);
  }
  for (const int64_t m : {131, 132, 133, 270}) {
    Rows x(m, 33, 33, random);
    check_product(GetParam(), Weights(WeightType::kF32, 18, 33, random), x, m, Activation::kGelu,
                  random);
  }
}

TEST_P(DotMatmul, EveryShapeAndType) {
  Random random(2);
  for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kQ4}) {
    for (const int64_t n : {1, 31, 32, 33, 96}) {
      for (const int64_t k : {64, 384, 448, 1216}) {
        Rows x(13, k, k + 1, random);
        check_product(GetParam(), Weights(type, n, k, random), x, 13, Activation::kGelu, random);
      }
    }
  }
  for (const int64_t k : {1, 2, 3, 5, 383, 385, 767, 770}) {
    Rows x(5, k, k, random);
    check_product(GetParam(), Weights(WeightType::kF32, 40, k, random), x, 5, Activation::kRelu,
                  random);
  }
}

// A channel a thousand times larger than the others costs precision, but never more than a step.
TEST_P(DotMatmul, UnevenRows) {
  Random random(3);
  const int64_t k = 800;
  Rows x(14, k, k, random);
  for (int64_t r = 0; r < 14; ++r) x.row(r)[7 * r] *= 1000.0F;
  std::fill_n(x.row(3), k, 2.5F);
  std::fill_n(x.row(4), k, 0.0F);
  check_product(GetParam(), Weights(WeightType::kF32, 33, k, random), x, 14, Activation::kNone,
                random);
}

TEST_P(DotMatmul, WhatIsNoNumberStaysNone) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Random random(4);
  const Weights weights(WeightType::kF32, 40, 500, random);
  test::for_each_isa([&] {
    const DotMatrix w = DotMatrix::pack(weights.source, GetParam(), test::pool_of(1));
    for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
      for (const int64_t at : {0, 17, 390, 499}) {
        Rows x(3, 500, 500, random);
        x.row(1)[at] = bad;
        std::vector<float> y(3 * 40);
        matmul(test::pool_of(1), x.data(), 3, 500, w, y.data(), 40);
        for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isfinite(y[i]), i / 40 != 1) << i;
      }
    }
  });
}

// The expanded activations are rounded as well, so the bound is that of one step of each.
TEST_P(DotMatmul, MlpIsTwoProducts) {
  Random random(5);
  const Arithmetic arithmetic = GetParam();
  struct Sizes {
    int64_t rows, width, hidden, outputs;
  };
  for (const Sizes& sizes : {Sizes{5, 24, 50, 19}, {140, 24, 400, 33}, {20, 70, 800, 64}}) {
    const int64_t m = sizes.rows;
    const int64_t width = sizes.width;
    const int64_t hidden = sizes.hidden;
    const int64_t out = sizes.outputs;
    const Weights w1(WeightType::kF32, hidden, width, random);
    const Weights w2(WeightType::kF32, out, hidden, random);
    Rows x(m, width, width + 1, random);
    Rows residual(m, out, out + 3, random);
    const std::vector<float> bias1 = random.normals(hidden);
    const std::vector<float> bias2 = random.normals(out);
    const auto fc1 = rounded_weights(arithmetic, w1.source);
    const auto fc2 = rounded_weights(arithmetic, w2.source);
    Expected expected;
    for (int64_t r = 0; r < m; ++r) {
      const auto row = as_activations(arithmetic, x.row(r), width);
      std::vector<float> middle;
      for (size_t j = 0; j < fc1.size(); ++j) {
        middle.push_back(
            static_cast<float>(exact_gelu(sum_of_products(row, fc1[j], bias1[j]).value)));
      }
      const auto rounded = as_activations(arithmetic, middle.data(), hidden);
      const double step =
          static_cast<double>(*std::max_element(middle.begin(), middle.end())) / 128.0;
      for (size_t j = 0; j < fc2.size(); ++j) {
        const Sum sum = sum_of_products(rounded, fc2[j], bias2[j]);
        expected.add(sum.value + static_cast<double>(residual.row(r)[static_cast<int64_t>(j)]),
                     2e-5 * sum.magnitude + 16.0 * step);
      }
    }
    test::compare(expected, [&](ThreadPool& pool) {
      const DotMatrix packed1 = DotMatrix::pack(w1.source, arithmetic, pool);
      const DotMatrix packed2 = DotMatrix::pack(w2.source, arithmetic, pool);
      Rows y(m, out, out + 2);
      mlp(pool, x.data(), m, x.stride(), packed1, bias1.data(), packed2, y.data(), y.stride(),
          {.bias = bias2.data(),
           .residual = residual.data(),
           .residual_stride = residual.stride()});
      return y.values();
    });
  }
}

// A product with the identity lays the activation bare.
TEST_P(DotMatmul, Gelu) {
  std::vector<float> x;
  for (float v = -12.0F; v <= 12.0F; v += 0.01F) x.push_back(v);
  for (const float v : {50.0F, -50.0F, 6e4F, -6e4F}) x.push_back(v);
  const float one = 1.0F;
  const MatrixSource source{.rows = 1, .cols = 1, .data = &one};
  Expected expected;
  for (const float v : x) {
    const double rounded = as_activations(GetParam(), &v, 1)[0];
    expected.add(exact_gelu(rounded), 3e-6 + 1e-6 * std::abs(rounded));
  }
  test::compare(expected, [&](ThreadPool& pool) {
    const DotMatrix w = DotMatrix::pack(source, GetParam(), pool);
    std::vector<float> y(x.size());
    matmul(pool, x.data(), static_cast<int64_t>(x.size()), 1, w, y.data(), 1,
           {.activation = Activation::kGelu});
    return y;
  });
}

INSTANTIATE_TEST_SUITE_P(Arithmetics, DotMatmul,
                         testing::Values(Arithmetic::kBf16, Arithmetic::kInt8),
                         [](const auto& arithmetic) {
                           return arithmetic.param == Arithmetic::kBf16 ? "Bf16" : "Int8";
                         });

}  // namespace
}  // namespace fastvlm
