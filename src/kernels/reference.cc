// SPDX-License-Identifier: Apache-2.0
// The plain set: portable loops that say what every faster set must compute.
#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/dot_kernels.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"
#include "kernels/reference_epilogue.h"

namespace fastvlm {
namespace {

void panel_product(const PanelProduct& p) {
  for (int64_t r = 0; r < p.rows; ++r) {
    float total[kPanel] = {};
    if (!p.first) std::copy_n(p.sums + r * p.sums_stride, kPanel, total);
    for (int64_t k = 0; k < p.runs * p.depth; ++k) {
      const float a = p.a[r * p.a_stride + k / p.depth * p.a_run + k % p.depth];
      const float* const b = p.b + k * p.b_stride;
      for (int64_t j = 0; j < kPanel; ++j) total[j] += a * b[j];
    }
    if (!p.last) {
      std::copy_n(total, kPanel, p.sums + r * p.sums_stride);
      continue;
    }
    for (int64_t j = 0; j < p.columns; ++j) {
      p.y[r * p.y_stride + j] = reference_epilogue(p.epilogue, r, j, total[j]);
    }
  }
}

float scale_of(const Matrix::Packed& w, const std::byte* group, int64_t index) {
  if (w.scale_type == WeightType::kF32) return load_unaligned<float>(group, index);
  const auto bits = load_unaligned<uint16_t>(group, index);
  return w.scale_type == WeightType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

void expand_quantised(const Matrix::Packed& w, const std::byte* group, int64_t columns,
                      float* out) {
  const int64_t a_word = elements_a_word(w.type);
  const auto bits = static_cast<int>(32 / a_word);
  const uint32_t mask = (1U << bits) - 1;
  for (; columns > 0; columns -= w.group, group += w.group_bytes) {
    const std::byte* const words = group + 2 * kPanel * element_bytes(w.scale_type);
    for (int64_t c = 0; c < w.group; ++c) {
      for (int64_t j = 0; j < kPanel; ++j) {
        const auto word = load_unaligned<uint32_t>(words, c / a_word * kPanel + j);
        const uint32_t q = (word >> (bits * static_cast<int>(c % a_word))) & mask;
        *out++ =
            std::fma(scale_of(w, group, j), static_cast<float>(q), scale_of(w, group, kPanel + j));
      }
    }
  }
}

void expand(const Matrix::Packed& w, int64_t panel, int64_t begin, int64_t end, float* out) {
  const std::byte* const data = w.panel(panel);
  if (w.quantised()) {
    return expand_quantised(w, data + begin / w.group * w.group_bytes, end - begin, out);
  }
  for (int64_t i = begin * kPanel; i < end * kPanel; ++i) {
    if (w.type == WeightType::kF32) {
      *out++ = load_unaligned<float>(data, i);
    } else {
      const auto bits = load_unaligned<uint16_t>(data, i);
      *out++ = w.type == WeightType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    }
  }
}

void prepare_vector(const Matrix::Packed& w, const float* x, float* prepared) {
  std::copy(x, x + w.cols, prepared);
}

void vector_product(const Matrix::Packed& w, const float* prepared, int64_t begin, int64_t end,
                    float* y, const Epilogue& epilogue) {
  thread_local Scratch scratch;  // one panel
  float* const panel = scratch.floats(w.cols * kPanel);
  for (int64_t p = begin; p < end; ++p) {
    expand(w, p, 0, w.cols, panel);
    float total[kPanel] = {};
    for (int64_t k = 0; k < w.cols; ++k) {
      for (int64_t j = 0; j < kPanel; ++j) total[j] += prepared[k] * panel[k * kPanel + j];
    }
    for (int64_t j = p * kPanel; j < std::min(w.rows, (p + 1) * kPanel); ++j) {
      y[j] = reference_epilogue(epilogue, 0, j, total[j - p * kPanel]);
    }
  }
}

// The place of column c among the sets of four: see the layout of a tile.
int64_t place_in_tile(WeightType type, int64_t c) {
  return type == WeightType::kQ8 ? c : c / 8 * 8 + c % 2 * 4 + c % 8 / 2;
}

void quantise_tile(const Matrix::Packed& w, const float* x, int64_t rows, int64_t x_stride,
                   std::byte* tile) {
  for (int64_t begin = 0; begin < w.cols; begin += w.group) {
    auto* const factors = reinterpret_cast<float*>(tile);
    auto* const sets = reinterpret_cast<int8_t*>(tile + rows * kTileFactors);
    for (int64_t r = 0; r < rows; ++r) {
      const float* const from = x + r * x_stride + begin;
      float largest = 0.0F;
      for (int64_t c = 0; c < w.group; ++c) {
        largest = std::isfinite(from[c]) ? std::max(largest, std::abs(from[c])) : NAN;
        if (std::isnan(largest)) break;
      }
      const float step = step_of(largest);
      const float inverse = step == 0.0F ? 0.0F : 1.0F / step;
      float sum = 0.0F;
      for (int64_t c = 0; c < w.group; ++c) {
        const float q = std::isnan(step) ? 0.0F : std::nearbyint(from[c] * inverse);
        const int64_t place = place_in_tile(w.type, c);
        sets[(place / 4 * rows + r) * 4 + place % 4] = static_cast<int8_t>(q);
        sum += q;
      }
      factors[r] = step;
      factors[rows + r] = step * sum;
    }
    tile += rows * (kTileFactors + w.group);
  }
}

// The sum over one group of columns of the tile's row r and row j of a panel.
float group_dot(const Matrix::Packed& w, const std::byte* group, int64_t j, const std::byte* tile,
                int64_t rows, int64_t r) {
  const int64_t a_word = elements_a_word(w.type);
  const auto bits = static_cast<int>(32 / a_word);
  const std::byte* const words = group + 2 * kPanel * element_bytes(w.scale_type);
  const std::byte* const sets = tile + rows * kTileFactors;
  int32_t sum = 0;
  for (int64_t c = 0; c < w.group; ++c) {
    const auto word = load_unaligned<uint32_t>(words, c / a_word * kPanel + j);
    const uint32_t q = (word >> (bits * static_cast<int>(c % a_word))) & ((1U << bits) - 1);
    const int64_t place = place_in_tile(w.type, c);
    sum += static_cast<int32_t>(q) *
           load_unaligned<int8_t>(sets, (place / 4 * rows + r) * 4 + place % 4);
  }
  const auto step = load_unaligned<float>(tile, r);
  const auto x_sum = load_unaligned<float>(tile, rows + r);
  return scale_of(w, group, j) * step * static_cast<float>(sum) +
         scale_of(w, group, kPanel + j) * x_sum;
}

void tile_product(const TileProduct& p) {
  const Matrix::Packed& w = *p.w;
  const int64_t end = std::min(w.rows, p.end * kPanel) - p.begin * kPanel;
  for (int64_t r = 0; r < p.rows; ++r) {
    for (int64_t column = 0; column < end; ++column) {
      const int64_t out = p.begin * kPanel + column;
      const std::byte* group = w.panel(out / kPanel);
      const std::byte* tile = p.tile;
      float total = 0.0F;
      for (int64_t c = 0; c < w.cols; c += w.group, group += w.group_bytes) {
        total += group_dot(w, group, out % kPanel, tile, p.rows, r);
        tile += p.rows * (kTileFactors + w.group);
      }
      p.y[r * p.y_stride + column] = reference_epilogue(p.epilogue, r, column, total);
    }
  }
}

float depthwise_output(const DepthwiseRows& d, int64_t out_y, int64_t out_x, int64_t out) {
  const DepthwiseConvolution& conv = *d.conv;
  const int64_t in = out / conv.multiplier;
  const int64_t vector = in / kDepthwiseSlice * conv.multiplier + out % conv.multiplier;
  const int64_t lane = in % kDepthwiseSlice;
  float sum = conv.packed_bias[static_cast<size_t>(vector * kDepthwiseSlice + lane)];
  for (int64_t ky = 0; ky < conv.kernel; ++ky) {
    const int64_t y = out_y * conv.stride + ky - conv.kernel / 2;
    for (int64_t kx = 0; kx < conv.kernel; ++kx) {
      const int64_t x = out_x * conv.stride + kx - conv.kernel / 2;
      if (y < 0 || y >= d.height || x < 0 || x >= d.width) continue;
      const int64_t tap = ky * conv.kernel + kx;
      const int64_t weight = (vector * conv.kernel * conv.kernel + tap) * kDepthwiseSlice + lane;
      sum +=
          d.x[(y * d.width + x) * conv.channels_in + in] * conv.packed[static_cast<size_t>(weight)];
    }
  }
  return reference_activation(d.activation, sum);
}

void depthwise(const DepthwiseRows& d) {
  const int64_t out_width = (d.width + d.conv->stride - 1) / d.conv->stride;
  const int64_t channels = d.conv->channels_out();
  for (int64_t out_y = d.row_begin; out_y < d.row_end; ++out_y) {
    for (int64_t out_x = 0; out_x < out_width; ++out_x) {
      float* const out = d.y + ((out_y - d.row_begin) * out_width + out_x) * channels;
      for (int64_t c = 0; c < channels; ++c) out[c] = depthwise_output(d, out_y, out_x, c);
    }
  }
}

// The coefficients of the product of (X - node) over all nodes but `left_out`, [6].
std::array<float, kWinogradSpan> product_without(int64_t left_out) {
  std::array<double, kWinogradSpan> product = {1.0};
  for (int64_t i = 0; i + 1 < kWinogradSpan; ++i) {
    if (i == left_out) continue;
    for (size_t power = product.size(); power-- > 0;) {
      product[power] = (power == 0 ? 0.0 : product[power - 1]) - kWinogradNodes[i] * product[power];
    }
  }
  std::array<float, kWinogradSpan> narrow{};
  std::copy(product.begin(), product.end(), narrow.begin());
  return narrow;
}

void winograd_input(const WinogradInput& p) {
  std::array<float, kWinogradSpan> factors[kWinogradSpan];
  for (int64_t i = 0; i < kWinogradSpan; ++i) factors[i] = product_without(i);
  for (int64_t point = 0; point < kWinogradPoints; ++point) {
    const auto& along_y = factors[point / kWinogradSpan];
    const auto& along_x = factors[point % kWinogradSpan];
    for (int64_t c = 0; c < p.channels; ++c) {
      float sum = 0.0F;
      for (size_t i = 0; i < kWinogradPoints; ++i) {
        const size_t y = i / kWinogradSpan;
        const size_t x = i % kWinogradSpan;
        sum += along_y[y] * along_x[x] *
               p.x[static_cast<int64_t>(y) * p.row_stride +
                   static_cast<int64_t>(x) * p.pixel_stride + c];
      }
      p.out[point * p.point_stride + c] = sum;
    }
  }
}

// What the product at a point counts for output `i` of a tile's axis.
float output_factor(int64_t i, int64_t point) {
  if (point + 1 == kWinogradSpan) return i + 1 == kWinogradTile ? 1.0F : 0.0F;
  double power = 1.0;
  for (int64_t n = 0; n < i; ++n) power *= kWinogradNodes[point];
  return static_cast<float>(power);
}

void winograd_output(const WinogradOutput& p) {
  for (int64_t y = 0; y < p.rows; ++y) {
    for (int64_t x = 0; x < p.columns; ++x) {
      const int64_t pixel = y * p.map_width + x;
      for (int64_t j = 0; j < p.outputs; ++j) {
        float sum = 0.0F;
        for (int64_t i = 0; i < kWinogradPoints; ++i) {
          sum += output_factor(y, i / kWinogradSpan) * output_factor(x, i % kWinogradSpan) *
                 p.sums[i * p.point_stride + j];
        }
        p.y[pixel * p.y_stride + j] = reference_epilogue(p.epilogue, pixel, j, sum);
      }
    }
  }
}

float exponentials(float* x, int64_t count, float max) {
  float sum = 0.0F;
  for (int64_t i = 0; i < count; ++i) sum += x[i] = std::exp(x[i] - max);
  return sum;
}

float maximum(const float* x, int64_t count) {
  return *std::max_element(x, x + count);
}

void rms_norm(const float* x, int64_t width, const float* weight, float eps, float* y) {
  double squares = 0.0;
  for (int64_t i = 0; i < width; ++i)
    squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  const auto factor = static_cast<float>(
      1.0 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(eps)));
  for (int64_t i = 0; i < width; ++i) y[i] = x[i] * factor * weight[i];
}

void layer_norm(const float* x, int64_t width, const float* weight, const float* bias, float eps,
                float* y) {
  double sum = 0.0;
  for (int64_t i = 0; i < width; ++i) sum += static_cast<double>(x[i]);
  const double mean = sum / static_cast<double>(width);
  double squares = 0.0;
  for (int64_t i = 0; i < width; ++i) {
    const double centred = static_cast<double>(x[i]) - mean;
    squares += centred * centred;
  }
  const double factor =
      1.0 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(eps));
  for (int64_t i = 0; i < width; ++i) {
    y[i] = static_cast<float>((static_cast<double>(x[i]) - mean) * factor) * weight[i] + bias[i];
  }
}

void affine(const float* x, int64_t width, const float* weight, const float* bias, float* y) {
  for (int64_t i = 0; i < width; ++i) y[i] = x[i] * weight[i] + bias[i];
}

void silu_multiply(float* gate, const float* up, int64_t count) {
  for (int64_t i = 0; i < count; ++i) gate[i] = gate[i] / (1.0F + std::exp(-gate[i])) * up[i];
}

void scale_gelu(float* x, const float* scale, int64_t count) {
  for (int64_t i = 0; i < count; ++i) x[i] = reference_gelu(x[i] * scale[i]);
}

void rotate(float* x, const float* cos, const float* sin, int64_t half) {
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[i];
    const float b = x[i + half];
    x[i] = a * cos[i] - b * sin[i];
    x[i + half] = b * cos[i] + a * sin[i];
  }
}

constexpr int kTilePanels = 1;
constexpr int kMostTileRows = 4;

#include "kernels/make_table.inc"

}  // namespace

const KernelTable* reference_kernels() {
  static constexpr KernelTable kTable =
      make_table("reference", quantise_tile, tile_product, &kReferenceDot);
  return &kTable;
}

}  // namespace fastvlm
