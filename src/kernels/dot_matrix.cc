// SPDX-License-Identifier: Apache-2.0
#include "kernels/dot_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/dot_kernels.h"
#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// One output's weights into column `lane` of its panel.
void pack_int8(const std::vector<float>& weights, int64_t output, DotMatrix::Packed& w) {
  float largest = 0.0F;
  for (const float weight : weights) {
    largest = std::isnan(weight) ? weight : std::max(largest, std::abs(weight));
  }
  const float scale = largest / 127.0F;
  const float inverse = scale > 0.0F ? 127.0F / largest : 0.0F;
  const int64_t panel = output / kDotPanel;
  const int64_t lane = output % kDotPanel;
  std::byte* const out = w.data.get() + panel * w.words * kDotPanel * 4 + lane * 4;
  float* const sums = w.sums.data() + panel * dot_groups(w.cols) * kDotPanel + lane;
  for (int64_t c = 0; c < w.cols; ++c) {
    const float q = std::nearbyint(weights[static_cast<size_t>(c)] * inverse);
    const auto code = static_cast<int8_t>(q);
    std::memcpy(out + c / 4 * kDotPanel * 4 + c % 4, &code, 1);
    sums[c / kDotGroup * kDotPanel] += q;
  }
  w.scales[static_cast<size_t>(output)] = scale;
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
  packed->data = aligned_bytes(panels * panel_bytes);
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
      const auto put = arithmetic == Arithmetic::kInt8 ? pack_int8 : pack_bf16;
      put(weights, output, *packed);
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
