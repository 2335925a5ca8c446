// SPDX-License-Identifier: Apache-2.0
#include "kernels/winograd.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

constexpr int64_t kPad = 1;
// Floats of a block of tiles: its inputs at all points, and its sums at all points for the panels
// of one product. They stay in the second-level cache beside the weights of a point.
constexpr int64_t kBlockFloats = int64_t{112} << 10;
// Tiles of a block: enough for the weights of a point to be read seldom.
constexpr int64_t kLeastTiles = 12;
constexpr int64_t kMostTiles = 72;

struct Task {
  const PixelView& x;
  const WinogradConvolution& conv;
  float* y;
  int64_t y_stride;
  Epilogue epilogue;

  int64_t tile_columns() const { return (x.width + kWinogradTile - 1) / kWinogradTile; }
  int64_t tiles() const { return (x.height + kWinogradTile - 1) / kWinogradTile * tile_columns(); }
  int64_t panels() const { return panels_of(conv.channels_out()); }
  // Of the first output of a tile.
  int64_t row(int64_t tile) const { return tile / tile_columns() * kWinogradTile; }
  int64_t column(int64_t tile) const { return tile % tile_columns() * kWinogradTile; }
};

// Some tiles one after the other, and what one thread knows of them.
struct Block {
  int64_t first;
  int64_t count;
  float* inputs;        // [36, count, channels_in]
  int64_t input_point;  // floats from one point to the next
  float* sums;          // [36, panels of a product, count, 16]
  int64_t sums_point;
  float* patch;  // [6, 6, channels_in]
};

// One line more than needed: points a power of two apart would compete for the same cache sets.
int64_t with_gap(int64_t floats) {
  return (floats + kPanel - 1) / kPanel * kPanel + kPanel;
}

Block make_block(const Task& task, int64_t first, int64_t count) {
  thread_local Scratch scratch;
  const int64_t channels = task.conv.channels_in;
  Block block{first, count, nullptr, with_gap(count * channels), nullptr, 0, nullptr};
  block.sums_point = with_gap(kernels().most_panels * count * kPanel);
  const int64_t patch = with_gap(kWinogradPoints * channels);
  block.patch = scratch.floats(patch + kWinogradPoints * (block.input_point + block.sums_point));
  block.inputs = block.patch + patch;
  block.sums = block.inputs + kWinogradPoints * block.input_point;
  return block;
}

// The inputs [6, 6, channels] from (top, left), zero outside of the map.
void copy_patch(const PixelView& x, int64_t channels, int64_t top, int64_t left, float* out) {
  const auto bytes = static_cast<size_t>(channels) * sizeof(float);
  for (int64_t i = 0; i < kWinogradPoints; ++i, out += channels) {
    const int64_t row = top + i / kWinogradSpan;
    const int64_t column = left + i % kWinogradSpan;
    if (row < 0 || row >= x.height || column < 0 || column >= x.width) {
      std::memset(out, 0, bytes);
    } else {
      std::memcpy(out, x.x + (row * x.width + column) * x.stride, bytes);
    }
  }
}

void transform_inputs(const Task& task, const Block& block) {
  const PixelView& x = task.x;
  const int64_t channels = task.conv.channels_in;
  WinogradInput input;
  input.channels = channels;
  input.point_stride = block.input_point;
  for (int64_t i = 0; i < block.count; ++i) {
    const int64_t top = task.row(block.first + i) - kPad;
    const int64_t left = task.column(block.first + i) - kPad;
    const bool inside =
        top >= 0 && left >= 0 && top + kWinogradSpan <= x.height && left + kWinogradSpan <= x.width;
    if (inside) {
      input.x = x.x + (top * x.width + left) * x.stride;
      input.row_stride = x.width * x.stride;
      input.pixel_stride = x.stride;
    } else {
      copy_patch(x, channels, top, left, block.patch);
      input.x = block.patch;
      input.row_stride = kWinogradSpan * channels;
      input.pixel_stride = channels;
    }
    input.out = block.inputs + i * channels;
    kernels().winograd_input(input);
  }
}

// At every point the product of all tiles' inputs and the weights of panels [panel, panel + count).
void multiply_points(const Task& task, const Block& block, int64_t panel, int64_t count) {
  const int64_t channels = task.conv.channels_in;
  const int64_t panel_floats = channels * kPanel;
  const auto* const weights = reinterpret_cast<const float*>(task.conv.weights.get());
  PanelProduct product;
  product.a_stride = channels;
  product.rows = block.count;
  product.depth = channels;
  product.panels = count;
  product.b_panel = panel_floats;
  product.last = false;
  product.sums_panel = block.count * kPanel;
  product.next_bytes = count * panel_floats * int64_t{sizeof(float)};
  for (int64_t point = 0; point < kWinogradPoints; ++point) {
    const int64_t next = std::min(point + 1, kWinogradPoints - 1);
    product.a = block.inputs + point * block.input_point;
    product.b = weights + (point * task.panels() + panel) * panel_floats;
    product.next =
        reinterpret_cast<const std::byte*>(weights + (next * task.panels() + panel) * panel_floats);
    product.sums = block.sums + point * block.sums_point;
    kernels().panel_product(product);
  }
}

void transform_outputs(const Task& task, const Block& block, int64_t panel, int64_t count) {
  WinogradOutput output;
  output.point_stride = block.sums_point;
  output.map_width = task.x.width;
  output.y_stride = task.y_stride;
  for (int64_t i = 0; i < block.count; ++i) {
    const int64_t row = task.row(block.first + i);
    const int64_t column = task.column(block.first + i);
    const int64_t pixel = row * task.x.width + column;
    output.rows = std::min(kWinogradTile, task.x.height - row);
    output.columns = std::min(kWinogradTile, task.x.width - column);
    for (int64_t p = 0; p < count; ++p) {
      const int64_t channel = (panel + p) * kPanel;
      output.sums = block.sums + (p * block.count + i) * kPanel;
      output.y = task.y + pixel * task.y_stride + channel;
      output.outputs = std::min(kPanel, task.conv.channels_out() - channel);
      output.epilogue = moved(task.epilogue, pixel, channel);
      kernels().winograd_output(output);
    }
  }
}

// Tiles in equal blocks, so many for each thread.
int64_t tiles_a_block(const Task& task, int64_t team) {
  const int64_t floats = kWinogradPoints * (task.conv.channels_in + 2 * kPanel);
  const int64_t most = std::clamp(kBlockFloats / floats, kLeastTiles, kMostTiles);
  const int64_t turns = (task.tiles() + most * team - 1) / (most * team);
  return (task.tiles() + turns * team - 1) / (turns * team);
}

// What three weights are at each point: their polynomial's value, divided by the product of the
// point's distances to the others; the last weight at infinity.
void evaluate(const double* weights, int64_t stride, double* out, int64_t out_stride) {
  for (int64_t i = 0; i + 1 < kWinogradSpan; ++i) {
    double distances = 1.0;
    for (int64_t j = 0; j + 1 < kWinogradSpan; ++j) {
      if (j != i) distances *= kWinogradNodes[i] - kWinogradNodes[j];
    }
    const double node = kWinogradNodes[i];
    const double value = weights[0] + node * (weights[stride] + node * weights[2 * stride]);
    out[i * out_stride] = value / distances;
  }
  out[(kWinogradSpan - 1) * out_stride] = weights[2 * stride];
}

}  // namespace

WinogradConvolution make_winograd(ThreadPool& pool, const std::vector<float>& weights,
                                  const std::vector<float>& bias, int64_t channels_in) {
  WinogradConvolution conv;
  conv.channels_in = channels_in;
  conv.bias = bias;
  const int64_t panels = panels_of(conv.channels_out());
  const int64_t point = panels * channels_in * kPanel;
  conv.weights = weight_bytes(kWinogradPoints * point * int64_t{sizeof(float)});
  auto* const packed = reinterpret_cast<float*>(conv.weights.get());
  pool.parallel_for(panels * kPanel, kPanel, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * channels_in; i < end * channels_in; ++i) {
      const int64_t output = i / channels_in;
      const int64_t channel = i % channels_in;
      double kernel[9] = {};
      if (output < conv.channels_out()) std::copy_n(weights.begin() + i * 9, 9, kernel);
      double rows[3 * kWinogradSpan];
      double points[kWinogradPoints];
      for (int64_t y = 0; y < 3; ++y) evaluate(kernel + y * 3, 1, rows + y * kWinogradSpan, 1);
      for (int64_t x = 0; x < kWinogradSpan; ++x) {
        evaluate(rows + x, kWinogradSpan, points + x, kWinogradSpan);
      }
      float* const out =
          packed + (output / kPanel * channels_in + channel) * kPanel + output % kPanel;
      for (int64_t p = 0; p < kWinogradPoints; ++p) out[p * point] = static_cast<float>(points[p]);
    }
  });
  return conv;
}

void convolve(ThreadPool& pool, const PixelView& x, const WinogradConvolution& conv, float* y,
              int64_t y_stride, Epilogue epilogue) {
  epilogue.bias = conv.bias.data();
  const Task task{x, conv, y, y_stride, epilogue};
  const int64_t step = tiles_a_block(task, pool.size());
  const int64_t panel_step = kernels().most_panels;
  pool.for_each((task.tiles() + step - 1) / step, [&](int64_t i) {
    const Block block = make_block(task, i * step, std::min(step, task.tiles() - i * step));
    transform_inputs(task, block);
    for (int64_t panel = 0; panel < task.panels(); panel += panel_step) {
      const int64_t count = std::min(panel_step, task.panels() - panel);
      multiply_points(task, block, panel, count);
      transform_outputs(task, block, panel, count);
    }
  });
}

}  // namespace fastvlm
