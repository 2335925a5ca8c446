// SPDX-License-Identifier: Apache-2.0
// Steps between convolutions that compute next to nothing. Maps are NHWC (batch 1), pixels `stride`
// floats apart.
#pragma once

#include <cstdint>

#include "base/thread_pool.h"

namespace fastvlm {

// y[r, c] = the greatest of x in the window of 5 x 5 around it; what lies outside does not count.
// `y` must not overlap `x`.
void max_pool_5(ThreadPool& pool, const float* x, int64_t height, int64_t width, int64_t channels,
                int64_t x_stride, float* y, int64_t y_stride);

// Every pixel four times: y is [2 height, 2 width, channels].
void upsample_twice(ThreadPool& pool, const float* x, int64_t height, int64_t width,
                    int64_t channels, int64_t x_stride, float* y, int64_t y_stride);

// y = x; each with its own stride.
void copy_pixels(ThreadPool& pool, const float* x, int64_t pixels, int64_t channels,
                 int64_t x_stride, float* y, int64_t y_stride);

}  // namespace fastvlm
