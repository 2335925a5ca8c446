// SPDX-License-Identifier: Apache-2.0
#include "kernels/spatial_convolution.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/convolution.h"
#include "kernels/dot_kernels.h"
#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// Output pixels a strip: enough that the rows around it, which the next strip reads again, are few
// beside its own, and that its inputs stay in the second-level cache.
constexpr int64_t kStripPixels = 640;
// Strips that a small map has at least, so that a team shares it.
constexpr int64_t kLeastStrips = 4;
// Rows of words gathered at a time: eleven tiles of a product.
constexpr int64_t kDotRows = 132;

struct Task {
  const PixelView& x;
  const SpatialConvolution& conv;
  float* y;
  int64_t y_stride;
  Epilogue epilogue;

  int64_t out_height() const { return (x.height + conv.stride - 1) / conv.stride; }
  int64_t out_width() const { return (x.width + conv.stride - 1) / conv.stride; }
  int64_t padded_width() const { return x.width + conv.kernel - 1; }
  int64_t line() const { return padded_width() * conv.channels_in; }  // of a strip's copy
  int64_t strip_rows() const {
    const int64_t by_size = (kStripPixels + out_width() - 1) / out_width();
    return std::min(by_size, (out_height() + kLeastStrips - 1) / kLeastStrips);
  }
  int64_t input_rows(int64_t rows) const { return (rows - 1) * conv.stride + conv.kernel; }
};

// The inputs of output rows [first, first + rows) with their padding, [input_rows, padded_width,
// channels].
void copy_strip(const Task& task, int64_t first, int64_t rows, float* out) {
  const int64_t channels = task.conv.channels_in;
  const int64_t pad = task.conv.kernel / 2;
  const auto bytes = static_cast<size_t>(channels) * sizeof(float);
  const auto line_bytes = static_cast<size_t>(task.line()) * sizeof(float);
  for (int64_t r = 0; r < task.input_rows(rows); ++r, out += task.line()) {
    const int64_t in_y = first * task.conv.stride - pad + r;
    if (in_y < 0 || in_y >= task.x.height) {
      std::memset(out, 0, line_bytes);
      continue;
    }
    const float* in = task.x.x + in_y * task.x.width * task.x.stride;
    const size_t pad_bytes = static_cast<size_t>(pad) * bytes;
    std::memset(out, 0, pad_bytes);
    float* const inside = out + pad * channels;
    if (task.x.stride == channels) {
      std::memcpy(inside, in, static_cast<size_t>(task.x.width) * bytes);
    } else {
      for (int64_t i = 0; i < task.x.width; ++i) {
        std::memcpy(inside + i * channels, in + i * task.x.stride, bytes);
      }
    }
    std::memset(inside + task.x.width * channels, 0, pad_bytes);
  }
}

// A kernel's row reads inputs that lie next to each other: a product of its own, without gathering.
void multiply_strip(const Task& task, const Matrix::Packed& w, const float* strip, int64_t first,
                    int64_t rows) {
  thread_local Scratch scratch;
  const SpatialConvolution& conv = task.conv;
  const int64_t width = task.out_width();
  const int64_t depth = conv.kernel * conv.channels_in;
  float* const sums = scratch.floats(rows * width * kPanel);
  const KernelTable& table = kernels();
  const int64_t panels = panels_of(w.rows);
  for (int64_t panel = 0; panel < panels; ++panel) {
    for (int64_t ky = 0; ky < conv.kernel; ++ky) {
      PanelProduct block;
      block.a_stride = conv.stride * conv.channels_in;
      block.rows = width;
      block.b = reinterpret_cast<const float*>(w.panel(panel)) + ky * depth * kPanel;
      block.depth = depth;
      block.first = ky == 0;
      block.last = ky + 1 == conv.kernel;
      block.y_stride = task.y_stride;
      block.columns = std::min(kPanel, w.rows - panel * kPanel);
      for (int64_t r = 0; r < rows; ++r) {
        const int64_t pixel = (first + r) * width;
        block.a = strip + (r * conv.stride + ky) * task.line();
        block.sums = sums + r * width * kPanel;
        block.y = task.y + pixel * task.y_stride + panel * kPanel;
        block.epilogue = moved(task.epilogue, pixel, panel * kPanel);
        table.panel_product(block);
      }
    }
  }
}

// A strip in narrow numbers, and rows of words gathered from it.
struct NarrowStrip {
  Scratch numbers;  // as the strip, one or two bytes each
  Scratch words;    // [kDotRows, stride]
  std::vector<GroupScale> scales;
};

void multiply_strip(const Task& task, const DotMatrix::Packed& w, const float* strip, int64_t first,
                    int64_t rows) {
  thread_local NarrowStrip space;
  const DotTable& table = dot_kernels();
  const SpatialConvolution& conv = task.conv;
  const bool bytes = w.arithmetic == Arithmetic::kInt8;
  const int64_t number = bytes ? 1 : 2;
  const int64_t count = task.input_rows(rows) * task.line();
  std::byte* const numbers = space.numbers.bytes(count * number);
  if (bytes) {
    const GroupScale scale = table.quantise(strip, count, reinterpret_cast<uint8_t*>(numbers));
    space.scales.assign(static_cast<size_t>(kDotRows * dot_groups(w.cols)), scale);
  } else {
    table.round(strip, count, reinterpret_cast<uint16_t*>(numbers));
  }
  const int64_t piece = conv.kernel * conv.channels_in * number;  // bytes of a kernel's row
  // One more line than needed: rows a power of two apart compete for the same cache sets.
  const int64_t stride = (w.cols * number + 63) / 64 * 64 + 64;
  std::byte* const words = space.words.bytes(kDotRows * stride);
  const int64_t width = task.out_width();
  DotProduct block;
  block.x = words;
  block.x_stride = stride;
  block.x_scales = space.scales.data();
  block.one_scale = bytes && w.cols <= kMostOneScaleColumns;
  block.w = &w;
  block.y_stride = task.y_stride;
  for (int64_t begin = 0; begin < rows * width; begin += kDotRows) {
    block.rows = std::min(kDotRows, rows * width - begin);
    for (int64_t i = 0; i < block.rows; ++i) {
      const int64_t out_y = (begin + i) / width;
      const int64_t out_x = (begin + i) % width;
      const std::byte* in =
          numbers +
          (out_y * conv.stride * task.line() + out_x * conv.stride * conv.channels_in) * number;
      std::byte* out = words + i * stride;
      for (int ky = 0; ky < conv.kernel; ++ky, out += piece, in += task.line() * number) {
        std::memcpy(out, in, static_cast<size_t>(piece));
      }
      std::memset(out, 0, 4);  // the last word's rest
    }
    const int64_t pixel = first * width + begin;
    for (block.panel = 0; block.panel < w.panels(); ++block.panel) {
      block.y = task.y + pixel * task.y_stride + block.panel * kDotPanel;
      block.epilogue = moved(task.epilogue, pixel, block.panel * kDotPanel);
      table.product(block);
    }
  }
}

}  // namespace

SpatialConvolution make_spatial(ThreadPool& pool, const std::vector<float>& weights,
                                const std::vector<float>& bias, int64_t channels_in, int kernel,
                                int stride, Arithmetic arithmetic) {
  SpatialConvolution conv;
  conv.kernel = kernel;
  conv.stride = stride;
  conv.channels_in = channels_in;
  conv.bias = bias;
  const std::vector<float> rows = columns_by_tap(weights, channels_in, kernel);
  const MatrixSource source{.type = WeightType::kF32,
                            .rows = conv.channels_out(),
                            .cols = int64_t{kernel} * kernel * channels_in,
                            .data = rows.data()};
  if (arithmetic == Arithmetic::kF32) {
    conv.weights = Matrix::pack(source, pool);
  } else {
    conv.weights = DotMatrix::pack(source, arithmetic, pool);
  }
  return conv;
}

void convolve(ThreadPool& pool, const PixelView& x, const SpatialConvolution& conv, float* y,
              int64_t y_stride, Epilogue epilogue) {
  epilogue.bias = conv.bias.data();
  const Task task{x, conv, y, y_stride, epilogue};
  const int64_t height = task.out_height();
  const int64_t step = task.strip_rows();
  std::atomic<int64_t> next{0};
  pool.run([&](int) {
    thread_local Scratch scratch;
    for (int64_t first = step * next++; first < height; first = step * next++) {
      const int64_t rows = std::min(step, height - first);
      float* const strip = scratch.floats(task.input_rows(rows) * task.line());
      copy_strip(task, first, rows, strip);
      std::visit([&](const auto& w) { multiply_strip(task, w.packed(), strip, first, rows); },
                 conv.weights);
    }
  });
}

}  // namespace fastvlm
