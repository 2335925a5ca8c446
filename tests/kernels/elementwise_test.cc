// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.h"

#include <limits>

#include "kernels/compare.h"

namespace fastvlm {
namespace {

using test::Expected;
using test::Random;

constexpr int64_t kWidths[] = {1, 7, 8, 9, 33, 896};

double wide(float x) {
  return static_cast<double>(x);
}

// Runs `kernel(pool, x, y)` twice: into another buffer, and in place.
template <typename Kernel>
void check_rows(const std::vector<float>& x, const Expected& expected, const Kernel& kernel) {
  test::compare(expected, [&](ThreadPool& pool) {
    std::vector<float> y(x.size());
    kernel(pool, x.data(), y.data());
    std::vector<float> in_place = x;
    kernel(pool, in_place.data(), in_place.data());
    EXPECT_EQ(y, in_place);
    return y;
  });
}

TEST(Norms, AllThree) {
  Random random(1);
  constexpr float kEps = 1e-5F;
  for (const int64_t width : kWidths) {
    for (const int64_t rows : {1, 3, 50}) {
      std::vector<float> x = random.normals(rows * width, 3.0F);
      for (float& value : x) value += 2.0F;
      const std::vector<float> weight = random.normals(width);
      const std::vector<float> bias = random.normals(width);
      Expected rms;
      Expected layer;
      Expected line;
      for (int64_t r = 0; r < rows; ++r) {
        const float* row = x.data() + r * width;
        double mean = 0.0;
        double squares = 0.0;
        for (int64_t i = 0; i < width; ++i) {
          mean += wide(row[i]) / static_cast<double>(width);
          squares += wide(row[i]) * wide(row[i]) / static_cast<double>(width);
        }
        double variance = 0.0;
        for (int64_t i = 0; i < width; ++i) {
          variance += (wide(row[i]) - mean) * (wide(row[i]) - mean) / static_cast<double>(width);
        }
        for (int64_t i = 0; i < width; ++i) {
          const double w = wide(weight[static_cast<size_t>(i)]);
          const double b = wide(bias[static_cast<size_t>(i)]);
          const double unit = wide(row[i]) / std::sqrt(squares + wide(kEps));
          const double centred = (wide(row[i]) - mean) / std::sqrt(variance + wide(kEps));
          rms.add(unit * w, 1e-6 * (1.0 + std::abs(unit * w)));
          layer.add(centred * w + b, width == 1 ? 1e-3 : 5e-6 * (1.0 + std::abs(w)));
          line.add(wide(row[i]) * w + b, 1e-6 * (1.0 + std::abs(wide(row[i]) * w)));
        }
      }
      check_rows(x, rms, [&](ThreadPool& pool, const float* in, float* out) {
        rms_norm(pool, in, rows, width, weight.data(), kEps, out);
      });
      check_rows(x, layer, [&](ThreadPool& pool, const float* in, float* out) {
        layer_norm(pool, in, rows, width, weight.data(), bias.data(), kEps, out);
      });
      check_rows(x, line, [&](ThreadPool& pool, const float* in, float* out) {
        affine(pool, in, rows, width, weight.data(), bias.data(), out);
      });
    }
  }
}

TEST(Silu, Multiplies) {
  Random random(2);
  for (const int64_t count : {1, 7, 8, 4864, 50001}) {
    std::vector<float> gate = random.normals(count, 5.0F);
    gate[0] = -100.0F;
    gate.back() = 95.0F;
    const std::vector<float> up = random.normals(count);
    Expected expected;
    for (size_t i = 0; i < gate.size(); ++i) {
      const double value = wide(gate[i]) / (1.0 + std::exp(-wide(gate[i]))) * wide(up[i]);
      expected.add(value, 1e-30 + 6e-7 * std::abs(value));
    }
    test::compare(expected, [&](ThreadPool& pool) {
      std::vector<float> found = gate;
      silu_multiply(pool, found.data(), up.data(), count);
      return found;
    });
  }
}

TEST(Rope, HalfSplit) {
  Random random(3);
  for (const int64_t dim : {2, 16, 64, 128}) {
    for (const int64_t first : {0, 1, 5000}) {
      const int64_t rows = 5;
      const int64_t heads = 3;
      const int64_t stride = heads * dim + 4;
      const std::vector<float> x = random.normals(rows * stride);
      Expected expected;
      for (const float value : x) expected.add(wide(value), 0.0);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t h = 0; h < heads; ++h) {
          for (int64_t i = 0; i < dim / 2; ++i) {
            const double angle =
                static_cast<double>(first + r) /
                std::pow(1e6, 2.0 * static_cast<double>(i) / static_cast<double>(dim));
            const auto low = static_cast<size_t>(r * stride + h * dim + i);
            const auto high = low + static_cast<size_t>(dim / 2);
            const double a = wide(x[low]);
            const double b = wide(x[high]);
            expected.exact[low] = a * std::cos(angle) - b * std::sin(angle);
            expected.exact[high] = b * std::cos(angle) + a * std::sin(angle);
            expected.bound[low] = expected.bound[high] = 3e-7 * (std::abs(a) + std::abs(b));
          }
        }
      }
      test::compare(expected, [&](ThreadPool& pool) {
        std::vector<float> found = x;
        rope(pool, found.data(), rows, stride, heads, dim, first, 1e6);
        return found;
      });
    }
  }
}

TEST(Argmax, FirstAmongEquals) {
  test::for_each_isa([] {
    for (const size_t count : {1U, 2U, 8U, 9U, 100U, 1003U}) {
      for (size_t at = 0; at < count; at += 1 + count / 7) {
        std::vector<float> x(count, -3.0F);
        x[at] = -1.0F;
        x.back() = -1.0F;
        EXPECT_EQ(argmax(x.data(), static_cast<int64_t>(count)), static_cast<int64_t>(at));
      }
    }
    const std::vector<float> minus(20, -std::numeric_limits<float>::infinity());
    EXPECT_EQ(argmax(minus.data(), 20), 0);
    const std::vector<float> none(20, std::numeric_limits<float>::quiet_NaN());
    EXPECT_LT(argmax(none.data(), 20), 20);
  });
}

}  // namespace
}  // namespace fastvlm
