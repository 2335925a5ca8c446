// SPDX-License-Identifier: Apache-2.0
#include "kernels/spatial_convolution.h"

#include <algorithm>
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
  const SpatialConvolution& conv = task.conv;
  const int64_t width = task.out_width();
  const KernelTable& table = kernels();
  const int64_t panels = panels_of(w.rows);
  PanelProduct block;
  block.a_stride = conv.stride * conv.channels_in;
  block.a_run = task.line();
  block.runs = conv.kernel;
  block.depth = conv.kernel * conv.channels_in;
  block.rows = width;
  block.b_panel = w.cols * kPanel;
  block.y_stride = task.y_stride;
  for (int64_t panel = 0; panel < panels; panel += table.most_panels) {
    block.panels = std::min(table.most_panels, panels - panel);
    block.b = reinterpret_cast<const float*>(w.panel(panel));
    block.columns = std::min(block.panels * kPanel, w.rows - panel * kPanel);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t pixel = (first + r) * width;
      block.a = strip + r * conv.stride * task.line();
      block.y = task.y + pixel * task.y_stride + panel * kPanel;
      block.epilogue = moved(task.epilogue, pixel, panel * kPanel);
      table.panel_product(block);
    }
  }
}

// The same in bytes with one scale, or in bf16.
void multiply_strip(const Task& task, const DotMatrix::Packed& w, const float* strip, int64_t first,
                    int64_t rows) {
  thread_local Scratch scratch;
  const DotTable& table = dot_kernels();
  const SpatialConvolution& conv = task.conv;
  const bool bytes = w.arithmetic == Arithmetic::kInt8;
  const int64_t number = bytes ? 1 : 2;
  const int64_t line = task.line() * number;
  const int64_t count = task.input_rows(rows) * task.line();
  std::byte* const numbers = scratch.bytes(count * number);
  GroupScale scale;
  if (bytes) {
    scale = table.quantise(strip, count, reinterpret_cast<uint8_t*>(numbers));
  } else {
    table.round(strip, count, reinterpret_cast<uint16_t*>(numbers));
  }
  const int64_t width = task.out_width();
  DotProduct block;
  block.x_stride = conv.stride * conv.channels_in * number;
  block.runs = conv.kernel;
  block.x_run = line;
  block.x_scales = &scale;
  block.one_scale = bytes;
  block.rows = width;
  block.w = &w;
  block.y_stride = task.y_stride;
  for (block.panel = 0; block.panel < w.panels(); ++block.panel) {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t pixel = (first + r) * width;
      block.x = numbers + r * conv.stride * line;
      block.y = task.y + pixel * task.y_stride + block.panel * kDotPanel;
      block.epilogue = moved(task.epilogue, pixel, block.panel * kDotPanel);
      table.product(block);
    }
  }
}

// Whether the products of a kernel's row can be done in words of narrow numbers.
bool fits_words(int64_t columns, int64_t channels_in, Arithmetic arithmetic) {
  return channels_in % dot_word_columns(arithmetic) == 0 && columns <= kMostOneScaleColumns;
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
  if (arithmetic == Arithmetic::kF32 || !fits_words(source.cols, channels_in, arithmetic)) {
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
  pool.for_each((height + step - 1) / step, [&](int64_t i) {
    thread_local Scratch scratch;
    const int64_t first = i * step;
    const int64_t rows = std::min(step, height - first);
    float* const strip = scratch.floats(task.input_rows(rows) * task.line());
    copy_strip(task, first, rows, strip);
    std::visit([&](const auto& w) { multiply_strip(task, w.packed(), strip, first, rows); },
               conv.weights);
  });
}

}  // namespace fastvlm
