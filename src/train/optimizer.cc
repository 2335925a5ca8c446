// SPDX-License-Identifier: Apache-2.0
#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

namespace fastvlm {
namespace {

constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr float kEps = 1e-8F;
constexpr int64_t kBlock = 65536;  // elements that are summed one after the other

}  // namespace

void add(ThreadPool& pool, std::span<const float> values, std::span<float> sum) {
  pool.parallel_for(static_cast<int64_t>(sum.size()), kBlock, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      sum[i] += values[i];
    }
  });
}

double norm(ThreadPool& pool, std::span<const float> values) {
  const auto count = static_cast<int64_t>(values.size());
  std::vector<double> squares(static_cast<size_t>((count + kBlock - 1) / kBlock));
  pool.parallel_for(static_cast<int64_t>(squares.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      double sum = 0;
      for (int64_t i = block * kBlock; i < std::min((block + 1) * kBlock, count); ++i) {
        const auto value = static_cast<double>(values[static_cast<size_t>(i)]);
        sum += value * value;
      }
      squares[static_cast<size_t>(block)] = sum;
    }
  });
  double sum = 0;
  for (const double square : squares) sum += square;
  return std::sqrt(sum);
}

float clip_factor(double norm, double largest) {
  return static_cast<float>(std::min(1.0, largest / (norm + 1e-6)));
}

void AdamW::step(ThreadPool& pool, std::span<const float> gradient, float factor, double rate,
                 std::span<float> parameters) {
  ++steps_;
  const auto age = static_cast<double>(steps_);
  const auto decay = static_cast<float>(1 - rate * weight_decay_);
  const auto size = static_cast<float>(rate / (1 - std::pow(kBeta1, age)));
  const auto root = static_cast<float>(1 / std::sqrt(1 - std::pow(kBeta2, age)));
  constexpr auto kOld1 = static_cast<float>(kBeta1);
  constexpr auto kNew1 = static_cast<float>(1 - kBeta1);
  constexpr auto kOld2 = static_cast<float>(kBeta2);
  constexpr auto kNew2 = static_cast<float>(1 - kBeta2);
  const auto count = static_cast<int64_t>(parameters.size());
  pool.parallel_for(count, kBlock, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      const float g = factor * gradient[i];
      first_[i] = kOld1 * first_[i] + kNew1 * g;
      second_[i] = kOld2 * second_[i] + kNew2 * g * g;
      const float scale = std::sqrt(second_[i]) * root + kEps;
      parameters[i] = (i < decayed_ ? decay : 1.0F) * parameters[i] - size * first_[i] / scale;
    }
  });
}

}  // namespace fastvlm
