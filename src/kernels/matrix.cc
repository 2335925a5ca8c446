// SPDX-License-Identifier: Apache-2.0
#include "kernels/matrix.h"

#include <cmath>
#include <cstring>

#include "kernels/half.h"
#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

float element(WeightType type, const void* data, int64_t index) {
  switch (type) {
    case WeightType::kF16:
      return f16_to_f32(load_unaligned<uint16_t>(data, index));
    case WeightType::kBF16:
      return bf16_to_f32(load_unaligned<uint16_t>(data, index));
    default:
      return load_unaligned<float>(data, index);
  }
}

// Copies rows [first, first + count) of a [rows, cols] array into [cols, 16], the rest zero.
template <typename T>
void interleave(const void* source, int64_t cols, int64_t first, int64_t count, T* out) {
  if (count < kPanel) std::memset(out, 0, static_cast<size_t>(cols * kPanel) * sizeof(T));
  for (int64_t c = 0; c < cols; ++c) {
    for (int64_t r = 0; r < count; ++r) {
      out[c * kPanel + r] = load_unaligned<T>(source, (first + r) * cols + c);
    }
  }
}

// The same for columns [begin, begin + width) of words or scales; `out` may have any alignment.
void interleave_part(const void* source, int64_t bytes, int64_t cols, int64_t begin, int64_t width,
                     int64_t first, int64_t count, std::byte* out) {
  const auto* from = static_cast<const std::byte*>(source);
  const auto size = static_cast<size_t>(bytes);
  for (int64_t c = 0; c < width; ++c) {
    for (int64_t r = 0; r < kPanel; ++r, out += bytes) {
      if (r < count) {
        std::memcpy(out, from + ((first + r) * cols + begin + c) * bytes, size);
      } else {
        std::memset(out, 0, size);
      }
    }
  }
}

void pack_quantised_panel(const MatrixSource& source, int64_t first, int64_t count,
                          std::byte* out) {
  const int64_t groups = source.cols / source.group;
  const int64_t group_words = source.group / elements_a_word(source.type);
  const int64_t scale_bytes = element_bytes(source.scale_type);
  for (int64_t g = 0; g < groups; ++g) {
    interleave_part(source.scales, scale_bytes, groups, g, 1, first, count, out);
    out += kPanel * scale_bytes;
    interleave_part(source.biases, scale_bytes, groups, g, 1, first, count, out);
    out += kPanel * scale_bytes;
    interleave_part(source.data, 4, groups * group_words, g * group_words, group_words, first,
                    count, out);
    out += kPanel * group_words * 4;
  }
}

void pack_panel(const MatrixSource& source, int64_t first, int64_t count, std::byte* out) {
  switch (source.type) {
    case WeightType::kF32:
      return interleave(source.data, source.cols, first, count, reinterpret_cast<uint32_t*>(out));
    case WeightType::kF16:
    case WeightType::kBF16:
      return interleave(source.data, source.cols, first, count, reinterpret_cast<uint16_t*>(out));
    case WeightType::kQ4:
    case WeightType::kQ8:
      return pack_quantised_panel(source, first, count, out);
  }
}

// Elements j of a row of quantised weights: `word(i)` is the row's i-th word.
template <typename Word>
void dequantise(WeightType type, int64_t begin, int64_t end, float scale, float bias,
                const Word& word, float* out) {
  const int64_t a_word = elements_a_word(type);
  const int bits = 32 / static_cast<int>(a_word);
  const uint32_t mask = (1U << bits) - 1;
  for (int64_t j = begin; j < end; ++j) {
    const uint32_t q = (word(j / a_word) >> (bits * static_cast<int>(j % a_word))) & mask;
    out[j] = std::fma(scale, static_cast<float>(q), bias);
  }
}

}  // namespace

void row_to_f32(const MatrixSource& source, int64_t row, float* out) {
  const int64_t first = row * source.cols;
  switch (source.type) {
    case WeightType::kF32:
      std::memcpy(out, static_cast<const std::byte*>(source.data) + first * 4,
                  static_cast<size_t>(source.cols) * sizeof(float));
      return;
    case WeightType::kF16:
      for (int64_t c = 0; c < source.cols; ++c)
        out[c] = f16_to_f32(load_unaligned<uint16_t>(source.data, first + c));
      return;
    case WeightType::kBF16:
      for (int64_t c = 0; c < source.cols; ++c)
        out[c] = bf16_to_f32(load_unaligned<uint16_t>(source.data, first + c));
      return;
    case WeightType::kQ4:
    case WeightType::kQ8:
      break;
  }
  const int64_t groups = source.cols / source.group;
  const int64_t words = source.cols / elements_a_word(source.type);
  const auto word = [&](int64_t i) {
    return load_unaligned<uint32_t>(source.data, row * words + i);
  };
  for (int64_t g = 0; g < groups; ++g) {
    dequantise(source.type, g * source.group, (g + 1) * source.group,
               element(source.scale_type, source.scales, row * groups + g),
               element(source.scale_type, source.biases, row * groups + g), word, out);
  }
}

Matrix::Matrix() = default;
Matrix::Matrix(Matrix&&) noexcept = default;
Matrix& Matrix::operator=(Matrix&&) noexcept = default;
Matrix::~Matrix() = default;

int64_t Matrix::rows() const {
  return packed_->rows;
}
int64_t Matrix::cols() const {
  return packed_->cols;
}
WeightType Matrix::type() const {
  return packed_->type;
}
Arithmetic Matrix::arithmetic() const {
  return packed_->arithmetic;
}
int64_t Matrix::bytes() const {
  return panels_of(packed_->rows) * packed_->panel_bytes;
}

Matrix Matrix::pack(const MatrixSource& source, ThreadPool& pool, Arithmetic arithmetic) {
  auto packed = std::make_unique<Packed>();
  packed->type = source.type;
  packed->rows = source.rows;
  packed->cols = source.cols;
  if (packed->quantised()) {
    if (arithmetic == Arithmetic::kInt8) packed->arithmetic = arithmetic;
    packed->scale_type = source.scale_type;
    packed->group = source.group;
    packed->group_bytes = kPanel * (2 * element_bytes(source.scale_type) +
                                    source.group / elements_a_word(source.type) * 4);
    packed->panel_bytes = source.cols / source.group * packed->group_bytes;
  } else {
    const int64_t bytes = source.cols * kPanel * element_bytes(source.type);
    packed->panel_bytes = (bytes + 63) / 64 * 64;
  }
  const int64_t panels = panels_of(source.rows);
  packed->data = weight_bytes(panels * packed->panel_bytes);
  std::byte* const data = packed->data.get();
  const int64_t panel_bytes = packed->panel_bytes;
  pool.parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      pack_panel(source, p * kPanel, std::min(kPanel, source.rows - p * kPanel),
                 data + p * panel_bytes);
    }
  });
  Matrix matrix;
  matrix.packed_ = std::move(packed);
  return matrix;
}

void Matrix::row_to_f32(int64_t row, float* out) const {
  const Packed& w = *packed_;
  const int64_t lane = row % kPanel;
  const std::byte* panel = w.panel(row / kPanel);
  if (!w.quantised()) {
    for (int64_t c = 0; c < w.cols; ++c) out[c] = element(w.type, panel, c * kPanel + lane);
    return;
  }
  for (int64_t begin = 0; begin < w.cols; begin += w.group, panel += w.group_bytes) {
    const std::byte* words = panel + 2 * kPanel * element_bytes(w.scale_type);
    const auto word = [&](int64_t i) { return load_unaligned<uint32_t>(words, i * kPanel + lane); };
    dequantise(w.type, 0, w.group, element(w.scale_type, panel, lane),
               element(w.scale_type, panel, kPanel + lane), word, out + begin);
  }
}

}  // namespace fastvlm
