// SPDX-License-Identifier: Apache-2.0
#include "kernels/pooling.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace fastvlm {
namespace {

constexpr int64_t kReach = 2;  // of the window, to each side

void raise(float* y, const float* x, int64_t count) {
  for (int64_t i = 0; i < count; ++i) y[i] = std::max(y[i], x[i]);
}

}  // namespace

void max_pool_5(ThreadPool& pool, const float* x, int64_t height, int64_t width, int64_t channels,
                int64_t x_stride, float* y, int64_t y_stride) {
  const auto bytes = static_cast<size_t>(channels) * sizeof(float);
  pool.parallel_for(height, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> columns(static_cast<size_t>(width * channels));  // the greatest of a column
    for (int64_t out_y = begin; out_y < end; ++out_y) {
      const int64_t last = std::min(out_y + kReach, height - 1);
      for (int64_t i = 0; i < width; ++i) {
        float* const column = columns.data() + i * channels;
        std::memcpy(column, x + (out_y * width + i) * x_stride, bytes);
        for (int64_t in_y = std::max<int64_t>(out_y - kReach, 0); in_y <= last; ++in_y) {
          raise(column, x + (in_y * width + i) * x_stride, channels);
        }
      }
      for (int64_t i = 0; i < width; ++i) {
        float* const out = y + (out_y * width + i) * y_stride;
        std::memcpy(out, columns.data() + i * channels, bytes);
        for (int64_t j = std::max<int64_t>(i - kReach, 0); j <= std::min(i + kReach, width - 1);
             ++j) {
          raise(out, columns.data() + j * channels, channels);
        }
      }
    }
  });
}

void upsample_twice(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                    int64_t channels, int64_t x_stride, float* y, int64_t y_stride) {
  const auto bytes = static_cast<size_t>(channels) * sizeof(float);
  pool.parallel_for(2 * height, 2, [&](int64_t begin, int64_t end) {
    for (int64_t out_y = begin; out_y < end; ++out_y) {
      for (int64_t out_x = 0; out_x < 2 * width; ++out_x) {
        std::memcpy(y + (out_y * 2 * width + out_x) * y_stride,
                    x + (out_y / 2 * width + out_x / 2) * x_stride, bytes);
      }
    }
  });
}

void copy_pixels(ThreadPool& pool, const float* x, int64_t pixels, int64_t channels,
                 int64_t x_stride, float* y, int64_t y_stride) {
  const auto bytes = static_cast<size_t>(channels) * sizeof(float);
  pool.parallel_for(pixels, 64, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) std::memcpy(y + i * y_stride, x + i * x_stride, bytes);
  });
}

}  // namespace fastvlm
