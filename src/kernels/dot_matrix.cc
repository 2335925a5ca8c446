// SPDX-License-Identifier: Apache-2.0
#include "kernels/dot_matrix.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>

#include "kernels/dot_kernels.h"
#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// The bits of floats of one sign are in the order of the numbers, infinity and NaN behind them.
float largest_magnitude(const std::vector<float>& weights) {
  int32_t largest = 0;
  for (const float weight : weights) {
    largest = std::max(largest, std::bit_cast<int32_t>(weight) & 0x7FFFFFFF);
  }
  return std::bit_cast<float>(largest);
}

// The nearest whole numbers of weights times `inverse`, which are at most 127; scales the weights.
// Where one is not finite the scale of the output is none either, and no code matters.
void round_to_int8(std::vector<float>& weights, float inverse, int8_t* codes) {
  constexpr float kWhole = 12582912.0F;  // 1.5 * 2^23: the lowest bits of a sum with it are whole
  // Apart, or some processors would round the product and the sum as one.
  for (float& weight : weights) weight *= inverse;
  for (size_t c = 0; c < weights.size(); ++c) {
    codes[c] = static_cast<int8_t>(std::bit_cast<int32_t>(weights[c] + kWhole));
  }
}

// One output's weights into column `lane` of its panel.
void pack_int8(std::vector<float>& weights, int64_t output, DotMatrix::Packed& w) {
  const float largest = largest_magnitude(weights);
  std::vector<int8_t> codes(static_cast<size_t>(w.words * 4));
  round_to_int8(weights, largest > kLeastRange ? 127.0F / largest : 0.0F, codes.data());
  const int64_t panel = output / kDotPanel;
  const int64_t lane = output % kDotPanel;
  std::byte* const out = w.data.get() + panel * w.words * kDotPanel * 4 + lane * 4;
  for (int64_t word = 0; word < w.words; ++word) {
    std::memcpy(out + word * kDotPanel * 4, codes.data() + word * 4, 4);
  }
  float* const sums = w.sums.data() + panel * dot_groups(w.cols) * kDotPanel + lane;
  for (int64_t c = 0; c < w.cols; c += kDotGroup) {
    const auto* const group = codes.data() + c;
    const int sum = std::accumulate(group, group + std::min(kDotGroup, w.cols - c), 0);
    sums[c / kDotGroup * kDotPanel] = static_cast<float>(sum);
  }
  w.scales[static_cast<size_t>(output)] = largest / 127.0F;
}

void pack_bf16(const std::vector<float>& weights, int64_t output, DotMatrix::Packed& w) {
  std::vector<uint16_t> rounded(weights.size());
  kReferenceDot.round(weights.data(), w.cols, rounded.data());
  std::byte* const out =
      w.data.get() + (output / kDotPanel * w.words * kDotPanel + output % kDotPanel) * 4;
  for (int64_t c = 0; c < w.cols; ++c) {
    std::memcpy(out + c / 2 * kDotPanel * 4 + c % 2 * 2, &rounded[static_cast<size_t>(c)], 2);
  }
}

}  // namespace

DotMatrix::DotMatrix() = default;
DotMatrix::DotMatrix(DotMatrix&&) noexcept = default;
DotMatrix& DotMatrix::operator=(DotMatrix&&) noexcept = default;
DotMatrix::~DotMatrix() = default;

int64_t DotMatrix::rows() const {
  return packed_->rows;
}
int64_t DotMatrix::cols() const {
  return packed_->cols;
}
Arithmetic DotMatrix::arithmetic() const {
  return packed_->arithmetic;
}
int64_t DotMatrix::bytes() const {
  return packed_->panels() * packed_->words * kDotPanel * 4 +
         static_cast<int64_t>((packed_->scales.size() + packed_->sums.size()) * sizeof(float));
}

DotMatrix DotMatrix::pack(const MatrixSource& source, Arithmetic arithmetic, ThreadPool& pool) {
  const int64_t columns = dot_word_columns(arithmetic);
  auto packed = std::make_unique<Packed>();
  packed->arithmetic = arithmetic;
  packed->rows = source.rows;
  packed->cols = source.cols;
  packed->words = (source.cols + columns - 1) / columns;
  const int64_t panels = packed->panels();
  const int64_t panel_bytes = packed->words * kDotPanel * 4;
  packed->data = weight_bytes(panels * panel_bytes);
  if (arithmetic == Arithmetic::kInt8) {
    packed->scales.resize(static_cast<size_t>(panels * kDotPanel));
    packed->sums.resize(static_cast<size_t>(panels * dot_groups(source.cols) * kDotPanel));
  }
  pool.parallel_for(panels, 1, [&](int64_t begin, int64_t end) {
    std::memset(packed->data.get() + begin * panel_bytes, 0,
                static_cast<size_t>((end - begin) * panel_bytes));
    std::vector<float> weights(static_cast<size_t>(source.cols));
    const int64_t last = std::min(end * kDotPanel, source.rows);
    for (int64_t output = begin * kDotPanel; output < last; ++output) {
      fastvlm::row_to_f32(source, output, weights.data());
      if (arithmetic == Arithmetic::kInt8) {
        pack_int8(weights, output, *packed);
      } else {
        pack_bf16(weights, output, *packed);
      }
    }
  });
  DotMatrix matrix;
  matrix.packed_ = std::move(packed);
  return matrix;
}

const DotTable& dot_kernels() {
  return *kernels().dot;
}

bool is_fast(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kF32) return true;
  return arithmetic == Arithmetic::kInt8 ? dot_kernels().fast_int8 : dot_kernels().fast_bf16;
}

Arithmetic fastest_arithmetic() {
  return is_fast(Arithmetic::kInt8) ? Arithmetic::kInt8 : Arithmetic::kF32;
}

}  // namespace fastvlm
