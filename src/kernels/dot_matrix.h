// SPDX-License-Identifier: Apache-2.0
// Weights for the instructions that multiply several narrow numbers and add them at once. A
// DotMatrix holds the weights of a linear layer at bf16 or int8, packed once; products with it
// (dot_matmul.h) bring the activations to the same width row by row. Non-goals: exactness (that is
// Matrix) and weights that a checkpoint stores in 4 bits for reading one row at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "base/thread_pool.h"
#include "kernels/matrix.h"
#include "kernels/precision.h"

namespace fastvlm {

class DotMatrix {
 public:
  DotMatrix();
  DotMatrix(DotMatrix&&) noexcept;
  DotMatrix& operator=(DotMatrix&&) noexcept;
  ~DotMatrix();

  // kBf16: weights rounded to the nearest. kInt8: w = scale * q with q in -127 .. 127 and one scale
  // an output, its largest weight / 127. The source may go away afterwards.
  static DotMatrix pack(const MatrixSource& source, Arithmetic arithmetic, ThreadPool& pool);

  int64_t rows() const;
  int64_t cols() const;
  int64_t bytes() const;  // of the packed form
  Arithmetic arithmetic() const;

  struct Packed;  // the layout; known to the kernels only
  const Packed& packed() const { return *packed_; }

 private:
  std::unique_ptr<Packed> packed_;
};

// Whether DotMatrix products at this width are faster than those of a plain Matrix, which are
// always at f32, with the kernels in use. Where they are not, they take about as long, and with the
// set "reference" many times as long.
bool is_fast(Arithmetic arithmetic);
// Int8 where it is fast, else f32.
Arithmetic fastest_arithmetic();

}  // namespace fastvlm
