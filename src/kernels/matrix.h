// SPDX-License-Identifier: Apache-2.0
// Weight matrices. A MatrixSource borrows the bytes of a checkpoint; a Matrix owns the same
// weights, packed once into the layout that the kernels of this machine want. Goals: weights live
// once (the packed form serves matrix products and row look-up), no loss (F16 and BF16 stay 16 bits
// wide, 4- and 8-bit weights stay packed). Non-goal: general tensors.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/thread_pool.h"
#include "kernels/precision.h"

namespace fastvlm {

enum class WeightType {
  kF32,
  kF16,
  kBF16,
  kQ4,  // MLX affine, 4 bits: w = scale * q + bias, q in 0..15, one scale and bias a group of
        // columns
  kQ8,  // the same with 8 bits
};

// A matrix [rows, cols] as a checkpoint stores it: rows are outputs, cols inputs (y = x W^T).
// Borrowed bytes of any alignment. For kQ4 and kQ8 `data` holds u32 words [rows, cols * bits / 32],
// lowest element in the lowest bits, and scales and biases are [rows, cols / group] of `scale_type`
// (kF32, kF16 or kBF16).
struct MatrixSource {
  WeightType type = WeightType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  const void* data = nullptr;
  WeightType scale_type = WeightType::kF16;
  const void* scales = nullptr;
  const void* biases = nullptr;
  int64_t group = 64;
  std::shared_ptr<const void> owner = {};  // keeps `data` alive where no file does
};

// Converts row `row` of `source` to f32; `out` has source.cols elements.
void row_to_f32(const MatrixSource& source, int64_t row, float* out);

class Matrix {
 public:
  Matrix();
  Matrix(Matrix&&) noexcept;
  Matrix& operator=(Matrix&&) noexcept;
  ~Matrix();

  // Copies and repacks; the source may go away afterwards. Requires rows, cols > 0 and, for
  // quantised weights, cols % group == 0 and group % 32 == 0 (the caller has checked the file).
  // `arithmetic` is what products with this matrix use where the kernels of this machine have it
  // for the type; else they compute in f32.
  static Matrix pack(const MatrixSource& source, ThreadPool& pool,
                     Arithmetic arithmetic = Arithmetic::kF32);

  int64_t rows() const;
  int64_t cols() const;
  WeightType type() const;
  Arithmetic arithmetic() const;  // that products use
  int64_t bytes() const;          // of the packed form

  // Row `row` as f32, exactly the values that products use: embedding look-up. `out` has cols()
  // elements.
  void row_to_f32(int64_t row, float* out) const;

  struct Packed;  // the layout; known to the kernels only
  const Packed& packed() const { return *packed_; }

 private:
  std::unique_ptr<Packed> packed_;
};

}  // namespace fastvlm
