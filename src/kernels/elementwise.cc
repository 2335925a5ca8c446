// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

constexpr int64_t kWorthSharing = 16384;  // elements a thread: about a microsecond or two

int64_t rows_a_share(int64_t width) {
  return std::max<int64_t>(1, kWorthSharing / width);
}

// Positions turn by `sign` times their angles.
void turn(ThreadPool& pool, float* x, int64_t rows, int64_t stride, int64_t heads, int64_t head_dim,
          int64_t first_position, double theta, double sign) {
  const int64_t half = head_dim / 2;
  std::vector<double> frequencies(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    frequencies[static_cast<size_t>(i)] =
        std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
  }
  pool.parallel_for(rows, rows_a_share(heads * head_dim), [&](int64_t begin, int64_t end) {
    std::vector<float> turns(static_cast<size_t>(2 * half));
    float* const cos = turns.data();
    float* const sin = cos + half;
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < half; ++i) {
        const double angle =
            sign * static_cast<double>(first_position + r) * frequencies[static_cast<size_t>(i)];
        cos[i] = static_cast<float>(std::cos(angle));
        sin[i] = static_cast<float>(std::sin(angle));
      }
      for (int64_t h = 0; h < heads; ++h) {
        kernels().rotate(x + r * stride + h * head_dim, cos, sin, half);
      }
    }
  });
}

}  // namespace

void rms_norm(ThreadPool& pool, const float* x, int64_t rows, int64_t width, const float* weight,
              float eps, float* y) {
  pool.parallel_for(rows, rows_a_share(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      kernels().rms_norm(x + r * width, width, weight, eps, y + r * width);
    }
  });
}

void layer_norm(ThreadPool& pool, const float* x, int64_t rows, int64_t width, const float* weight,
                const float* bias, float eps, float* y) {
  pool.parallel_for(rows, rows_a_share(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      kernels().layer_norm(x + r * width, width, weight, bias, eps, y + r * width);
    }
  });
}

void affine(ThreadPool& pool, const float* x, int64_t rows, int64_t width, const float* weight,
            const float* bias, float* y) {
  pool.parallel_for(rows, rows_a_share(width), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      kernels().affine(x + r * width, width, weight, bias, y + r * width);
    }
  });
}

void silu_multiply(ThreadPool& pool, float* gate, const float* up, int64_t count) {
  pool.parallel_for(count, kWorthSharing, [&](int64_t begin, int64_t end) {
    kernels().silu_multiply(gate + begin, up + begin, end - begin);
  });
}

void rope(ThreadPool& pool, float* x, int64_t rows, int64_t stride, int64_t heads, int64_t head_dim,
          int64_t first_position, double theta) {
  turn(pool, x, rows, stride, heads, head_dim, first_position, theta, 1);
}

void rope_backward(ThreadPool& pool, float* x, int64_t rows, int64_t stride, int64_t heads,
                   int64_t head_dim, int64_t first_position, double theta) {
  turn(pool, x, rows, stride, heads, head_dim, first_position, theta, -1);
}

int64_t argmax(const float* x, int64_t count) {
  const float largest = kernels().maximum(x, count);
  const int64_t index = std::find(x, x + count, largest) - x;
  return index < count ? index : 0;
}

}  // namespace fastvlm
