// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul.h"

#include "kernels/compare.h"

namespace fastvlm {
namespace {

using test::Expected;
using test::Random;
using test::Rows;
using test::Weights;

double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::kGelu:
      return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case Activation::kSilu:
      return x / (1.0 + std::exp(-x));
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kNone:
      break;
  }
  return x;
}

// x as Arithmetic::kInt8 rounds it: groups of columns in steps of their largest magnitude / 127.
std::vector<float> rounded(const float* x, int64_t cols, int64_t group) {
  std::vector<float> values;
  for (int64_t begin = 0; begin < cols; begin += group) {
    float largest = 0.0F;
    for (int64_t c = begin; c < begin + group; ++c) largest = std::max(largest, std::abs(x[c]));
    const float step = largest / 127.0F;
    const float inverse = largest == 0.0F ? 0.0F : 1.0F / step;
    for (int64_t c = begin; c < begin + group; ++c) {
      values.push_back(step * std::nearbyint(x[c] * inverse));
    }
  }
  return values;
}

struct Parts {
  bool bias = false;
  Activation activation = Activation::kNone;
  bool scale = false;
  bool residual = false;
  bool in_place = false;  // the residual is y itself
  Arithmetic arithmetic = Arithmetic::kF32;
};

// The product of m rows and `weights`, whose rows come from row_to_f32 of the source. Rounding is
// bounded by a few units in the last place of sum |x| * max |w|.
void check_product(const Weights& weights, int64_t m, const Parts& parts, Random& random) {
  const MatrixSource& source = weights.source;
  const int64_t n = source.rows;
  const int64_t k = source.cols;
  SCOPED_TRACE(cat("type ", static_cast<int>(source.type), " m ", m, " n ", n, " k ", k, " group ",
                   source.group));
  Rows x(m, k, k + (m % 3), random);
  Rows residual(m, n, n + 2, random);
  const std::vector<float> bias = random.normals(n);
  const std::vector<float> scale = random.normals(n);

  std::vector<double> w(static_cast<size_t>(n * k));
  std::vector<float> row(static_cast<size_t>(k));
  double largest = 0.0;
  for (int64_t j = 0; j < n; ++j) {
    row_to_f32(source, j, row.data());
    for (int64_t c = 0; c < k; ++c) {
      w[static_cast<size_t>(j * k + c)] = static_cast<double>(row[static_cast<size_t>(c)]);
      largest = std::max(largest, std::abs(static_cast<double>(row[static_cast<size_t>(c)])));
    }
  }
  Expected expected;
  for (int64_t r = 0; r < m; ++r) {
    const std::vector<float> in = parts.arithmetic == Arithmetic::kInt8
                                      ? rounded(x.row(r), k, source.group)
                                      : std::vector<float>(x.row(r), x.row(r) + k);
    double magnitude = 1.0;
    for (const float value : in) magnitude += std::abs(static_cast<double>(value));
    for (int64_t j = 0; j < n; ++j) {
      const auto out = static_cast<size_t>(j);
      double sum = parts.bias ? static_cast<double>(bias[out]) : 0.0;
      for (int64_t c = 0; c < k; ++c) {
        sum += static_cast<double>(in[static_cast<size_t>(c)]) * w[static_cast<size_t>(j * k + c)];
      }
      double error = 4e-7 * magnitude * std::max(largest, 1.0);
      double value = activated(parts.activation, sum);
      if (parts.scale) {
        value *= static_cast<double>(scale[out]);
        error *= 1.0 + std::abs(static_cast<double>(scale[out]));
      }
      if (parts.residual) value += static_cast<double>(residual.row(r)[j]);
      expected.add(value, error);
    }
  }
  test::compare(expected, [&](ThreadPool& pool) {
    const Matrix matrix = Matrix::pack(source, pool, parts.arithmetic);
    EXPECT_EQ(matrix.arithmetic(), parts.arithmetic);
    Rows y = parts.in_place ? residual : Rows(m, n, n + 2);
    Epilogue epilogue;
    epilogue.activation = parts.activation;
    if (parts.bias) epilogue.bias = bias.data();
    if (parts.scale) epilogue.scale = scale.data();
    if (parts.residual) {
      epilogue.residual = parts.in_place ? y.data() : residual.data();
      epilogue.residual_stride = residual.stride();
    }
    matmul(pool, x.data(), m, x.stride(), matrix, y.data(), y.stride(), epilogue);
    return y.values();
  });
}

TEST(Matmul, EveryNumberOfRows) {
  Random random(1);
  for (int64_t m = 1; m <= 70; ++m) {
    check_product(Weights(WeightType::kF32, 37, 29, random), m, {}, random);
  }
  for (const int64_t m : {119, 120, 121, 250}) {
    check_product(Weights(WeightType::kF32, 18, 33, random), m, {}, random);
  }
}

TEST(Matmul, EveryType) {
  Random random(2);
  for (const int64_t m : {1, 2, 3, 5, 8, 13}) {
    for (const WeightType type : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
      for (const int64_t n : {1, 15, 16, 17, 48, 271}) {
        for (const int64_t k : {1, 27, 64, 100}) {
          check_product(Weights(type, n, k, random), m, {}, random);
        }
      }
    }
    for (const WeightType type : {WeightType::kQ4, WeightType::kQ8}) {
      for (const WeightType scales : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
        for (const int64_t group : {32, 64, 96, 128}) {
          check_product(Weights(type, 39, 3 * group, random, scales, group), m, {}, random);
        }
      }
    }
  }
}

TEST(Matmul, DeepSums) {
  Random random(3);
  for (const int64_t m : {1, 7, 130}) {
    for (const int64_t k : {384, 385, 1000}) {
      check_product(Weights(WeightType::kF32, 33, k, random), m, {}, random);
    }
    check_product(Weights(WeightType::kF16, 300, 896, random), m, {}, random);
    check_product(Weights(WeightType::kQ4, 33, 4864, random), m, {}, random);
    check_product(Weights(WeightType::kQ8, 33, 896, random), m, {}, random);
    check_product(Weights(WeightType::kQ4, 20, 768, random, WeightType::kF16, 96), m, {}, random);
  }
}

TEST(Matmul, EpilogueInItsOrder) {
  Random random(4);
  for (const int64_t m : {1, 2, 9, 130}) {
    for (const int64_t k : {40, 800}) {
      for (const int64_t n : {5, 35}) {
        for (const Activation activation :
             {Activation::kNone, Activation::kGelu, Activation::kRelu, Activation::kSilu}) {
          for (const int set : {0, 1, 2, 3, 4, 5, 6, 7}) {
            const Parts parts{(set & 1) != 0, activation, (set & 2) != 0, (set & 4) != 0, m == 2};
            if (set != 7 && m != 9 && activation != Activation::kGelu) continue;
            check_product(Weights(WeightType::kF32, n, k, random), m, parts, random);
          }
          check_product(Weights(WeightType::kF16, n, k, random), m,
                        {true, activation, true, true, true}, random);
        }
      }
    }
  }
}

constexpr Parts kInt8{.arithmetic = Arithmetic::kInt8};

TEST(MatmulInt8, EveryTypeAndNumberOfRows) {
  Random random(6);
  for (const WeightType type : {WeightType::kQ4, WeightType::kQ8}) {
    for (const WeightType scales : {WeightType::kF32, WeightType::kF16, WeightType::kBF16}) {
      for (const int64_t group : {32, 64, 96, 128}) {
        check_product(Weights(type, 39, 3 * group, random, scales, group), 5, kInt8, random);
      }
    }
    for (int64_t m = 1; m <= 40; ++m) {
      check_product(Weights(type, 17, 64, random), m, kInt8, random);
    }
    for (const int64_t n : {1, 15, 16, 271}) {
      check_product(Weights(type, n, 128, random), 3, kInt8, random);
    }
    check_product(Weights(type, 40, 896, random), 130, kInt8, random);
    check_product(Weights(type, 40, 4864, random), 2, kInt8, random);
  }
}

TEST(MatmulInt8, EpilogueInItsOrder) {
  Random random(7);
  for (const int64_t m : {1, 2, 30, 150}) {
    for (const Activation activation :
         {Activation::kNone, Activation::kGelu, Activation::kRelu, Activation::kSilu}) {
      check_product(Weights(WeightType::kQ4, 35, 192, random), m,
                    {true, activation, true, true, m == 2, Arithmetic::kInt8}, random);
    }
  }
}

// Nothing in a group, or less than can be divided, is nothing; not-a-number and infinity stay.
TEST(MatmulInt8, ExtremeActivations) {
  Random random(8);
  const Weights weights(WeightType::kQ4, 16, 64, random, WeightType::kF32, 32);
  test::for_each_isa([&] {
    const Matrix w = Matrix::pack(weights.source, test::pool_of(1), Arithmetic::kInt8);
    const auto first_output = [&](float extreme) {
      std::vector<float> x(64, 0.0F);
      x[3] = extreme;
      std::vector<float> y(16);
      matmul(test::pool_of(1), x.data(), 1, 64, w, y.data(), 16);
      return y[0];
    };
    EXPECT_EQ(first_output(0.0F), 0.0F);
    EXPECT_EQ(first_output(1e-40F), 0.0F);
    EXPECT_TRUE(std::isfinite(first_output(1e30F)));
    EXPECT_FALSE(std::isfinite(first_output(std::numeric_limits<float>::infinity())));
    EXPECT_TRUE(std::isnan(first_output(std::numeric_limits<float>::quiet_NaN())));
  });
}

// Several products at once, of one kind or of several, are the products one by one.
TEST(Matmul, SeveralOutputs) {
  Random random(9);
  const int64_t k = 192;
  const Weights a(WeightType::kQ4, 40, k, random);
  const Weights b(WeightType::kQ4, 7, k, random);
  const Weights c(WeightType::kQ8, 33, k, random);
  for (const int64_t m : {1, 29, 150}) {
    const Rows x(m, k, k, random);
    for (const Arithmetic arithmetic : {Arithmetic::kF32, Arithmetic::kInt8}) {
      test::for_each_isa([&] {
        for (const int threads : {1, 3}) {
          ThreadPool& pool = test::pool_of(threads);
          std::vector<Matrix> matrices;
          for (const Weights* w : {&a, &b, &c}) {
            matrices.push_back(Matrix::pack(w->source, pool, arithmetic));
          }
          const auto values = [&](std::initializer_list<size_t> chosen, bool together) {
            std::vector<Rows> ys;
            std::vector<Output> outputs;
            ys.reserve(chosen.size());
            for (const size_t i : chosen) {
              const int64_t n = matrices[i].rows();
              ys.emplace_back(m, n, n + 1);
              outputs.push_back({matrices[i], ys.back().data(), n + 1});
            }
            Rows in = x;
            if (together) {
              matmul(pool, in.data(), m, k, outputs);
            } else {
              for (const Output& o : outputs) {
                matmul(pool, in.data(), m, k, o.w, o.y, o.y_stride);
              }
            }
            std::vector<std::vector<float>> all;
            for (Rows& y : ys) all.push_back(y.values());
            return all;
          };
          EXPECT_EQ(values({0, 1}, true), values({0, 1}, false));
          EXPECT_EQ(values({0, 1, 2}, true), values({0, 1, 2}, false));
        }
      });
    }
  }
}

TEST(GatedMatmul, IsTwoProducts) {
  Random random(10);
  for (const Arithmetic arithmetic : {Arithmetic::kF32, Arithmetic::kInt8}) {
    for (const int64_t m : {1, 5, 50, 150}) {
      const int64_t n = 83;
      const int64_t k = 128;
      const Weights gate(WeightType::kQ4, n, k, random);
      const Weights up(WeightType::kQ4, n, k, random);
      Rows x(m, k, k + 1, random);
      Expected expected;
      const std::string usual = current_isa();
      ASSERT_TRUE(select_isa("reference").ok());
      const Matrix w1 = Matrix::pack(gate.source, test::pool_of(1), arithmetic);
      const Matrix w2 = Matrix::pack(up.source, test::pool_of(1), arithmetic);
      std::vector<float> a(static_cast<size_t>(m * n));
      std::vector<float> b(a.size());
      matmul(test::pool_of(1), x.data(), m, x.stride(), w1, a.data(), n);
      matmul(test::pool_of(1), x.data(), m, x.stride(), w2, b.data(), n);
      ASSERT_TRUE(select_isa(usual).ok());
      for (size_t i = 0; i < a.size(); ++i) {
        const auto g = static_cast<double>(a[i]);
        const auto u = static_cast<double>(b[i]);
        expected.add(g / (1 + std::exp(-g)) * u, 2e-5 * (1 + std::abs(g)) * (1 + std::abs(u)));
      }
      test::compare(expected, [&](ThreadPool& pool) {
        const Matrix first = Matrix::pack(gate.source, pool, arithmetic);
        const Matrix second = Matrix::pack(up.source, pool, arithmetic);
        Rows y(m, n, n);
        gated_matmul(pool, x.data(), m, x.stride(), first, second, y.data());
        return y.values();
      });
    }
  }
}

TEST(Mlp, IsTwoProducts) {
  Random random(5);
  for (const int64_t m : {1, 5, 119, 121, 260}) {
    const int64_t width = 24;
    const int64_t hidden = 50;
    const int64_t out = 19;
    const Weights w1(WeightType::kF32, hidden, width, random);
    const Weights w2(WeightType::kBF16, out, hidden, random);
    Rows x(m, width, width + 1, random);
    Rows residual(m, out, out + 3, random);
    const std::vector<float> bias1 = random.normals(hidden);
    const std::vector<float> bias2 = random.normals(out);
    const std::vector<float> scale = random.normals(out);
    Expected expected;
    std::vector<float> row(static_cast<size_t>(hidden));
    for (int64_t r = 0; r < m; ++r) {
      std::vector<double> middle;
      for (int64_t j = 0; j < hidden; ++j) {
        row_to_f32(w1.source, j, row.data());
        auto sum = static_cast<double>(bias1[static_cast<size_t>(j)]);
        for (int64_t c = 0; c < width; ++c) {
          sum +=
              static_cast<double>(x.row(r)[c]) * static_cast<double>(row[static_cast<size_t>(c)]);
        }
        middle.push_back(activated(Activation::kGelu, sum));
      }
      for (int64_t j = 0; j < out; ++j) {
        row_to_f32(w2.source, j, row.data());
        const auto o = static_cast<size_t>(j);
        auto sum = static_cast<double>(bias2[o]);
        for (size_t c = 0; c < middle.size(); ++c) sum += middle[c] * static_cast<double>(row[c]);
        expected.add(sum * static_cast<double>(scale[o]) + static_cast<double>(residual.row(r)[j]),
                     2e-4);
      }
    }
    test::compare(expected, [&](ThreadPool& pool) {
      const Matrix fc1 = Matrix::pack(w1.source, pool);
      const Matrix fc2 = Matrix::pack(w2.source, pool);
      Rows y(m, out, out + 2);
      Epilogue epilogue;
      epilogue.bias = bias2.data();
      epilogue.scale = scale.data();
      epilogue.residual = residual.data();
      epilogue.residual_stride = residual.stride();
      mlp(pool, x.data(), m, x.stride(), fc1, bias1.data(), fc2, y.data(), y.stride(), epilogue);
      return y.values();
    });
  }
}

// A product with the identity lays the activation bare: a dense sweep against double precision.
TEST(Gelu, DenseSweep) {
  std::vector<float> x;
  for (float v = -12.0F; v <= 12.0F; v += 0.001F) x.push_back(v);
  for (const float v : {0.0F, -0.0F, 1e-30F, -1e-30F, 1e-40F, -1e-40F, 50.0F, -50.0F, 1e30F, -1e30F,
                        3.4e38F, -3.4e38F}) {
    x.push_back(v);
  }
  const float one = 1.0F;
  MatrixSource source;
  source.rows = source.cols = 1;
  source.data = &one;
  Expected expected;
  for (const float v : x) {
    const double exact = activated(Activation::kGelu, static_cast<double>(v));
    expected.add(exact, 1e-37 + 2.5e-7 * std::abs(static_cast<double>(v)));
  }
  test::compare(expected, [&](ThreadPool& pool) {
    const Matrix w = Matrix::pack(source, pool);
    std::vector<float> y(x.size());
    Epilogue epilogue;
    epilogue.activation = Activation::kGelu;
    matmul(pool, x.data(), static_cast<int64_t>(x.size()), 1, w, y.data(), 1, epilogue);
    return y;
  });
}

// Infinities stay or vanish as the limits say; not-a-number stays.
TEST(Gelu, BeyondNumbers) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float x[] = {kInfinity, std::numeric_limits<float>::quiet_NaN(), -1e30F};
  const float one = 1.0F;
  MatrixSource source;
  source.rows = source.cols = 1;
  source.data = &one;
  test::for_each_isa([&] {
    const Matrix w = Matrix::pack(source, test::pool_of(1));
    float y[3] = {};
    Epilogue epilogue;
    epilogue.activation = Activation::kGelu;
    matmul(test::pool_of(1), x, 3, 1, w, y, 1, epilogue);
    EXPECT_EQ(y[0], kInfinity);
    EXPECT_TRUE(std::isnan(y[1]));
    EXPECT_EQ(y[2], 0.0F);
  });
}

}  // namespace
}  // namespace fastvlm
