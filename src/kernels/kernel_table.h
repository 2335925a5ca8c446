// SPDX-License-Identifier: Apache-2.0
// Inside the kernels: the packed layout of weights, and the table of inner loops that every
// instruction set fills. The drivers (matmul.cc, convolution.cc, attention.cc, elementwise.cc)
// block and share out the work once for all sets; the table's functions are single-threaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/convolution.h"
#include "kernels/matmul.h"
#include "kernels/matrix.h"
#include "kernels/scratch.h"

namespace fastvlm {

// Sixteen rows of weights (outputs) make a panel: a vector or two, four or one hold one column.
inline constexpr int64_t kPanel = 16;

inline int64_t panels_of(int64_t rows) {
  return (rows + kPanel - 1) / kPanel;
}

// Panels one after the other, each starting at a multiple of 64 bytes; rows past the end are zero.
//   kF32, kF16, kBF16: elements [cols, 16]
//   kQ4, kQ8: for each group of columns, scales [16] and biases [16] of scale_type, then the words
//     of the source, [group * bits / 32, 16]: a vector of words holds 8 (or 4) columns of its rows.
struct Matrix::Packed {
  WeightType type = WeightType::kF32;
  WeightType scale_type = WeightType::kF16;
  Arithmetic arithmetic = Arithmetic::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t group = 0;
  int64_t group_bytes = 0;  // of a quantised panel's group
  int64_t panel_bytes = 0;
  WeightBytes data;

  bool quantised() const { return type == WeightType::kQ4 || type == WeightType::kQ8; }
  const std::byte* panel(int64_t index) const { return data.get() + index * panel_bytes; }
};

// Bytes of an element that is not quantised.
inline int64_t element_bytes(WeightType type) {
  return type == WeightType::kF32 ? 4 : 2;
}
// Elements in a 32-bit word of quantised weights.
inline int64_t elements_a_word(WeightType type) {
  return type == WeightType::kQ4 ? 8 : 4;
}

// One block of the product of rows and a panel, or two at once where the table's most_panels allows
// it:
//   total[r, j] = (first ? 0 : sums[r, j]) + sum over k < depth of a[r, k] * b[k, j],  j < 16
// where !last stores it to sums, and last stores epilogue(total) to the first `columns` of y.
// A row's arithmetic does not depend on how many rows or panels come with it.
struct PanelProduct {
  const float* a = nullptr;
  int64_t a_stride = 0;
  int64_t rows = 0;
  // A row of a may be several runs of `depth` floats; then b holds `runs * depth` rows.
  int64_t runs = 1;
  int64_t a_run = 0;  // from the beginning of one to the next
  const float* b = nullptr;
  int64_t b_stride = kPanel;
  int64_t depth = 0;
  int64_t panels = 1;
  int64_t b_panel = 0;  // from the first panel's b to the second's
  bool first = true;
  bool last = true;
  float* sums = nullptr;
  int64_t sums_stride = kPanel;
  int64_t sums_panel = 0;  // from the first panel's sums to the second's
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t columns = kPanel;         // of all panels together
  const std::byte* next = nullptr;  // memory that the caller will read next: to be fetched early
  int64_t next_bytes = 0;
  Epilogue epilogue;  // its pointers already at this block's first row and column
};

// `epilogue` for the part of y that starts at this row and column.
inline Epilogue moved(const Epilogue& epilogue, int64_t row, int64_t column) {
  Epilogue part = epilogue;
  if (part.bias != nullptr) part.bias += column;
  if (part.scale != nullptr) part.scale += column;
  if (part.residual != nullptr) part.residual += row * part.residual_stride + column;
  return part;
}

// A row of activations as vector_product wants it, made by prepare_vector in
// prepared_floats(w) floats.
inline int64_t prepared_floats(const Matrix::Packed& w) {
  return w.cols + w.cols / 32 + kPanel;
}

// Activations in 8 bits (Arithmetic::kInt8). A few rows of x make a tile. Each group of columns of
// a row has its own step, the largest magnitude / 127; an element becomes round(x / step), so that
// x = step * q within half a step. In memory, for each group of columns:
//   the step of each row [rows] f32, the sum of the rounded elements of each row [rows] f32, and
//   the rounded elements in sets of four columns [group / 4, rows, 4]: the columns in order for
//   kQ8; for kQ4 the even columns of each eight, then the odd ones, as the nibbles of a word lie.
inline constexpr int64_t kTileFactors = 8;  // bytes a row and group: step and sum

inline int64_t tile_row_bytes(const Matrix::Packed& w) {
  return w.cols + w.cols / w.group * kTileFactors;
}
// The step for a group whose largest magnitude this is; 0 where all of it rounds to nothing. What
// is not a number stays so and makes the product not a number.
inline float step_of(float largest) {
  return largest < 0x1p-96F ? 0.0F : largest / 127.0F;
}

// y = epilogue(x W^T) for the rows of a tile and the outputs of panels [begin, end); `y` and the
// epilogue's pointers are at the tile's first row and the first panel's first column.
struct TileProduct {
  const Matrix::Packed* w = nullptr;
  const std::byte* tile = nullptr;
  int64_t rows = 0;  // 1 .. KernelTable::most_tile_rows
  int64_t begin = 0;
  int64_t end = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
  Epilogue epilogue;
};

// A part of a depthwise convolution: output rows [row_begin, row_end) of every channel.
struct DepthwiseRows {
  const float* x = nullptr;
  int64_t height = 0;
  int64_t width = 0;
  const DepthwiseConvolution* conv = nullptr;
  int64_t row_begin = 0;
  int64_t row_end = 0;
  float* y = nullptr;  // of row_begin
  Activation activation = Activation::kNone;
};

// Winograd's F(4x4, 3x3) (winograd.h). A tile is 4 x 4 outputs, made from 6 x 6 inputs; along each
// axis there are as many points as inputs: these, and infinity.
inline constexpr int64_t kWinogradTile = 4;
inline constexpr int64_t kWinogradSpan = 6;
inline constexpr int64_t kWinogradPoints = kWinogradSpan * kWinogradSpan;
inline constexpr double kWinogradNear = 0.70710678118654752440;  // sqrt 1/2
inline constexpr double kWinogradFar = 1.41421356237309504880;   // sqrt 2
inline constexpr double kWinogradNodes[] = {0.0, kWinogradNear, -kWinogradNear, kWinogradFar,
                                            -kWinogradFar};

// The inputs [6, 6, channels] of a tile at all points, [36, channels]: B^T x B along both axes,
// where row i of B^T holds the coefficients, the constant one first, of the product of (X - node)
// over all nodes but the i-th; over all of them for infinity.
struct WinogradInput {
  const float* x = nullptr;
  int64_t row_stride = 0;  // floats from one to the next
  int64_t pixel_stride = 0;
  int64_t channels = 0;
  float* out = nullptr;
  int64_t point_stride = 0;
};

// Outputs of a tile from the sums [36, 16] of one panel at all points: epilogue(A^T sums A), where
// column i of A^T holds the powers of node i, the 0th first; (0, 0, 0, 1) for infinity.
struct WinogradOutput {
  const float* sums = nullptr;
  int64_t point_stride = 0;
  int64_t rows = 0;  // those of the tile's 4 that lie within the map
  int64_t columns = 0;
  int64_t map_width = 0;  // pixels
  float* y = nullptr;     // of the tile's first pixel
  int64_t y_stride = 0;   // from one pixel to the next
  int64_t outputs = kPanel;
  Epilogue epilogue;  // its pointers already at this pixel and panel
};

struct DotTable;  // dot_kernels.h

struct KernelTable {
  const char* name;

  void (*panel_product)(const PanelProduct& product);
  int64_t most_panels;  // of one panel_product: 1 or 2
  // Columns [begin, end) of a panel as f32 [end - begin, 16]; begin is a multiple of the group.
  void (*expand)(const Matrix::Packed& w, int64_t panel, int64_t begin, int64_t end, float* out);
  // y = epilogue(x W^T) for one row x and the outputs of panels [begin, end).
  void (*prepare_vector)(const Matrix::Packed& w, const float* x, float* prepared);
  void (*vector_product)(const Matrix::Packed& w, const float* prepared, int64_t begin, int64_t end,
                         float* y, const Epilogue& epilogue);

  // Quantised weights with Arithmetic::kInt8. A row's result does not depend on its tile.
  int64_t most_tile_rows;
  void (*quantise_tile)(const Matrix::Packed& w, const float* x, int64_t rows, int64_t x_stride,
                        std::byte* tile);
  void (*tile_product)(const TileProduct& product);

  void (*depthwise)(const DepthwiseRows& part);
  void (*winograd_input)(const WinogradInput& tile);
  void (*winograd_output)(const WinogradOutput& tile);

  // x[i] = exp(x[i] - max); returns the sum.
  float (*exponentials)(float* x, int64_t count, float max);
  float (*maximum)(const float* x, int64_t count);  // count >= 1

  void (*rms_norm)(const float* x, int64_t width, const float* weight, float eps, float* y);
  void (*layer_norm)(const float* x, int64_t width, const float* weight, const float* bias,
                     float eps, float* y);
  void (*affine)(const float* x, int64_t width, const float* weight, const float* bias, float* y);
  void (*silu_multiply)(float* gate, const float* up, int64_t count);
  void (*scale_gelu)(float* x, const float* scale, int64_t count);
  // The pairs (x[i], x[i + half]) turned by the angle with cosine cos[i] and sine sin[i].
  void (*rotate)(float* x, const float* cos, const float* sin, int64_t half);

  const DotTable* dot;  // products of narrow numbers
};

const KernelTable& kernels();  // the set in use

// The sets. Null where this build or this machine does not have it.
const KernelTable* reference_kernels();
const KernelTable* avx2_kernels();
const KernelTable* avx_vnni_kernels();
const KernelTable* avx512_kernels();
const KernelTable* avx512_vnni_kernels();
const KernelTable* avx512_vnni_bf16_kernels();
const KernelTable* neon_kernels();
const KernelTable* neon_dotprod_kernels();
const KernelTable* neon_i8mm_kernels();

// The product of x and all of W by the calling thread alone, for drivers that split by rows.
void matmul_alone(const float* x, int64_t m, int64_t x_stride, const Matrix& w, float* y,
                  int64_t y_stride, const Epilogue& epilogue);
// The same for mlp(), tile by tile.
void mlp_alone(const float* x, int64_t m, int64_t x_stride, const Matrix& fc1,
               const float* fc1_bias, const Matrix& fc2, float* y, int64_t y_stride,
               const Epilogue& epilogue);

// The same as matmul and gated_matmul for matrices with Arithmetic::kInt8, of one type and group.
void matmul_int8(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride,
                 std::span<const Output> outputs);
void gated_matmul_int8(ThreadPool& pool, const float* x, int64_t m, int64_t x_stride,
                       const Matrix& gate, const Matrix& up, float* y);

}  // namespace fastvlm
