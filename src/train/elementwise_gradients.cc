// SPDX-License-Identifier: Apache-2.0
#include "train/elementwise_gradients.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace fastvlm {
namespace {

constexpr int64_t kWorthSharing = 8192;  // elements a thread
constexpr int64_t kLanes = 4;            // numbers of 16 bits in one of a stream
constexpr int64_t kNumbers = 64;         // of a stream that are made at once
constexpr uint64_t kLaneValues = uint64_t{1} << 16;

void rms_norm_row_backward(const float* x, const float* dy, int64_t width, const float* weight,
                           float eps, float* dx) {
  double squares = 0;
  double product = 0;
  for (int64_t i = 0; i < width; ++i) {
    const auto value = static_cast<double>(x[i]);
    squares += value * value;
    product += value * static_cast<double>(dy[i] * weight[i]);
  }
  const auto count = static_cast<double>(width);
  const double inverse = 1 / std::sqrt(squares / count + static_cast<double>(eps));
  const auto along = static_cast<float>(inverse * inverse * inverse * product / count);
  const auto scale = static_cast<float>(inverse);
  for (int64_t i = 0; i < width; ++i) dx[i] += scale * weight[i] * dy[i] - along * x[i];
}

}  // namespace

void rms_norm_backward(ThreadPool& pool, const float* x, const float* dy, int64_t rows,
                       int64_t width, const float* weight, float eps, float* dx) {
  const int64_t grain = std::max<int64_t>(1, kWorthSharing / width);
  pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      rms_norm_row_backward(x + r * width, dy + r * width, width, weight, eps, dx + r * width);
    }
  });
}

void gated_backward(ThreadPool& pool, const float* dy, int64_t count, float* gate, float* up) {
  pool.parallel_for(count, kWorthSharing, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float sigmoid = 1 / (1 + std::exp(-gate[i]));
      const float silu = gate[i] * sigmoid;
      const float slope = sigmoid + silu * (1 - sigmoid);
      gate[i] = dy[i] * up[i] * slope;
      up[i] = dy[i] * silu;
    }
  });
}

Dropout::Dropout(double rate, const RandomStream& stream)
    : threshold_(static_cast<uint64_t>(std::llround(rate * static_cast<double>(kLaneValues)))),
      scale_(static_cast<float>(static_cast<double>(kLaneValues) /
                                static_cast<double>(kLaneValues - threshold_))),
      stream_(stream) {}

// Calls fn(index, factor) for each element, where factor is 0 or the scale.
template <typename Function>
void Dropout::for_each(ThreadPool& pool, int64_t count, const Function& fn) const {
  const auto threshold = static_cast<int32_t>(threshold_);
  pool.parallel_for(count, kWorthSharing, [&](int64_t begin, int64_t end) {
    std::array<uint64_t, kNumbers> numbers;
    std::array<uint16_t, kNumbers * kLanes> lanes;
    for (int64_t i = begin; i < end; i += kNumbers * kLanes) {
      for (int64_t j = 0; j < kNumbers; ++j) {
        numbers[static_cast<size_t>(j)] = stream_.at(static_cast<uint64_t>(i / kLanes + j));
      }
      std::memcpy(lanes.data(), numbers.data(), sizeof lanes);
      const int64_t here = std::min(kNumbers * kLanes, end - i);
      for (int64_t j = 0; j < here; ++j) {
        const int32_t lane = lanes[static_cast<size_t>(j)];
        fn(i + j, lane < threshold ? 0.0F : scale_);
      }
    }
  });
}

void Dropout::apply(ThreadPool& pool, const float* x, int64_t count, float* y) const {
  for_each(pool, count, [&](int64_t i, float factor) { y[i] = factor * x[i]; });
}

void Dropout::backward(ThreadPool& pool, const float* dy, int64_t count, float* dx) const {
  for_each(pool, count, [&](int64_t i, float factor) { dx[i] += factor * dy[i]; });
}

}  // namespace fastvlm
