// SPDX-License-Identifier: Apache-2.0
// The one comparer of the kernels: every set of this machine, on 1, 2 and 3 threads, against the
// same sum written down plainly in double precision.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/half.h"
#include "kernels/matrix.h"
#include "kernels/table.h"

namespace fastvlm::test {

// Selects each set in turn and the default again at the end.
inline void for_each_isa(const std::function<void()>& body) {
  const std::string usual = current_isa();
  for (const std::string& name : available_isas()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(select_isa(name).ok());
    body();
  }
  ASSERT_TRUE(select_isa(usual).ok());
}

inline ThreadPool& pool_of(int threads) {
  static ThreadPool one(1), two(2), three(3);
  return threads == 1 ? one : threads == 2 ? two : three;
}

// What a computation must give: |value - exact| <= bound, element by element.
struct Expected {
  std::vector<double> exact;
  std::vector<double> bound;

  void add(double value, double error) {
    exact.push_back(value);
    bound.push_back(error);
  }
};

inline void expect_within(const std::vector<float>& found, const Expected& expected) {
  ASSERT_EQ(found.size(), expected.exact.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const double error = std::abs(static_cast<double>(found[i]) - expected.exact[i]);
    ASSERT_LE(error, expected.bound[i])
        << "element " << i << ": " << found[i] << " instead of " << expected.exact[i];
  }
}

// `compute(pool)` gives the values. They must be right, and the same bits for any pool.
inline void compare(const Expected& expected,
                    const std::function<std::vector<float>(ThreadPool&)>& compute) {
  for_each_isa([&] {
    const std::vector<float> alone = compute(pool_of(1));
    expect_within(alone, expected);
    for (const int threads : {2, 3}) {
      const std::vector<float> shared = compute(pool_of(threads));
      ASSERT_EQ(std::memcmp(alone.data(), shared.data(), alone.size() * sizeof(float)), 0)
          << "depends on the number of threads (" << threads << ")";
    }
  });
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}

  float normal() { return std::normal_distribution<float>()(engine_); }
  uint32_t word() { return static_cast<uint32_t>(engine_()); }
  std::vector<float> normals(int64_t count, float scale = 1.0F) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = scale * normal();
    return values;
  }

 private:
  std::mt19937 engine_;
};

// Rows of `width` floats, `stride` apart, that start at an address that is no multiple of 8.
// Everything between the rows holds a marker.
class Rows {
 public:
  static constexpr float kMarker = -12345.0F;

  Rows(int64_t rows, int64_t width, int64_t stride)
      : rows_(rows),
        width_(width),
        stride_(stride),
        data_(static_cast<size_t>(rows * stride + 4), kMarker) {}
  Rows(int64_t rows, int64_t width, int64_t stride, Random& random) : Rows(rows, width, stride) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < width; ++c) row(r)[c] = random.normal();
    }
  }

  float* data() { return data_.data() + (reinterpret_cast<uintptr_t>(data_.data()) % 8 == 0); }
  float* row(int64_t r) { return data() + r * stride_; }
  int64_t stride() const { return stride_; }

  // The rows' values one after the other; fails where something beside them was written.
  std::vector<float> values() {
    std::vector<float> all;
    for (int64_t r = 0; r < rows_; ++r) {
      all.insert(all.end(), row(r), row(r) + width_);
      for (float* gap = row(r) + width_; gap < row(r) + stride_; ++gap) EXPECT_EQ(*gap, kMarker);
    }
    return all;
  }

 private:
  int64_t rows_, width_, stride_;
  std::vector<float> data_;
};

inline uint16_t f32_to_bf16(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);  // towards zero: good enough
}

// A finite half near `value`: the nearest is not needed here.
inline uint16_t f32_to_f16(float value) {
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const float scaled = std::min(std::abs(value), 65504.0F) * 0x1p-112F;
  return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(scaled) >> 13));
}

// Random weights of any type, in memory as a checkpoint may hold them: at odd addresses.
class Weights {
 public:
  Weights(WeightType type, int64_t rows, int64_t cols, Random& random,
          WeightType scale_type = WeightType::kF16, int64_t group = 64) {
    source.type = type;
    source.rows = rows;
    source.cols = cols;
    source.scale_type = scale_type;
    source.group = group;
    if (type == WeightType::kQ4 || type == WeightType::kQ8) {
      for (int64_t i = 0; i < rows * cols / (type == WeightType::kQ4 ? 8 : 4); ++i) {
        put(data_, random.word());
      }
      for (int64_t i = 0; i < rows * cols / group; ++i) {
        put_float(scales_, scale_type, 0.02F * random.normal());
        put_float(biases_, scale_type, 0.2F * random.normal());
      }
    } else {
      for (int64_t i = 0; i < rows * cols; ++i) put_float(data_, type, random.normal());
    }
    source.data = data_.data() + 1;
    source.scales = scales_.data() + 1;
    source.biases = biases_.data() + 1;
  }

  MatrixSource source;

 private:
  template <typename T>
  static void put(std::vector<char>& bytes, T value) {
    const size_t end = bytes.size();
    bytes.resize(end + sizeof(T));
    std::memcpy(bytes.data() + end, &value, sizeof(T));
  }
  static void put_float(std::vector<char>& bytes, WeightType type, float value) {
    if (type == WeightType::kF32) {
      put(bytes, value);
    } else {
      put(bytes, type == WeightType::kF16 ? f32_to_f16(value) : f32_to_bf16(value));
    }
  }

  std::vector<char> data_ = {0}, scales_ = {0}, biases_ = {0};
};

}  // namespace fastvlm::test
