// SPDX-License-Identifier: Apache-2.0
// Inside the kernels: the packed layout of a DotMatrix and the table of inner loops of its
// products. Both precisions share one shape: a row of activations and a column of weights are
// 32-bit words of two bf16 or four 8-bit numbers, and an instruction adds the products of one word
// to a sum.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/dot_matrix.h"
#include "kernels/matmul.h"
#include "kernels/scratch.h"

namespace fastvlm {

// Outputs a panel: two vectors of sums, so that a tile of 12 rows fills 24 of 32 registers.
inline constexpr int64_t kDotPanel = 32;
// Columns of x that share one scale in a row at int8: few enough that a channel far larger than the
// others spoils its neighbours only, enough that rescaling the sums costs a tenth.
inline constexpr int64_t kDotGroup = 128;

// So many products of 255 and 127 fit into a sum of 32 bits.
inline constexpr int64_t kMostOneScaleColumns = 65'536;

// Numbers closer together than this are one: 255 / range stays finite.
inline constexpr float kLeastRange = 1e-35F;

inline int64_t dot_groups(int64_t cols) {
  return (cols + kDotGroup - 1) / kDotGroup;
}
inline int64_t dot_word_columns(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::kInt8 ? 4 : 2;
}

// Panels one after the other, [words, 32] each; columns and outputs past the end are zero.
struct DotMatrix::Packed {
  Arithmetic arithmetic = Arithmetic::kInt8;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t words = 0;  // a column of a panel
  WeightBytes data;
  std::vector<float> scales;  // kInt8: [panels, 32]
  std::vector<float> sums;    // kInt8: of the q of each group, [panels, groups, 32]

  int64_t panels() const { return (rows + kDotPanel - 1) / kDotPanel; }
  const std::byte* panel_data(int64_t index) const {
    return data.get() + index * words * kDotPanel * 4;
  }
};

// x ~ step * code + base with codes 0 .. 255, for one group of a row. A group with a number that is
// not finite has a step that is none either.
struct GroupScale {
  float step = 0.0F;
  float base = 0.0F;
};

// epilogue(x W^T) for `rows` rows of prepared x and the outputs of one panel.
struct DotProduct {
  const std::byte* x = nullptr;  // words, rows x_stride bytes apart
  int64_t x_stride = 0;
  // A row of x may be several runs of words, x_run bytes from one to the next: not where int8 has a
  // scale for each group.
  int64_t runs = 1;
  int64_t x_run = 0;
  const GroupScale* x_scales = nullptr;  // kInt8: [groups, rows], or one
  bool one_scale = false;                // kInt8: one for all; cols <= kMostOneScaleColumns
  int64_t rows = 0;
  const DotMatrix::Packed* w = nullptr;
  int64_t panel = 0;
  float* y = nullptr;  // of the panel's first output
  int64_t y_stride = 0;
  Epilogue epilogue;  // its pointers already at this block's first row and column
};

struct DotTable {
  // Whether the set has instructions for products at this width. Where they are slower than at f32
  // (bf16 on Intel) it is not the default.
  bool fast_int8;
  bool fast_bf16;
  // A group of a row as codes; the caller has room for whole words.
  GroupScale (*quantise)(const float* x, int64_t count, uint8_t* codes);
  void (*round)(const float* x, int64_t count, uint16_t* out);  // to bf16, to nearest even
  void (*product)(const DotProduct& product);
};

const DotTable& dot_kernels();  // those that go with the set in use

// mlp() of the calling thread alone, tile by tile, for drivers that split by rows.
void mlp_alone(const float* x, int64_t m, int64_t x_stride, const DotMatrix& fc1,
               const float* fc1_bias, const DotMatrix& fc2, float* y, int64_t y_stride,
               const Epilogue& epilogue);

extern const DotTable kReferenceDot;

}  // namespace fastvlm
