// SPDX-License-Identifier: Apache-2.0
#include "detect/network.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention.h"
#include "kernels/dot_matmul.h"
#include "kernels/pooling.h"

namespace fastvlm {
namespace {

int64_t halved(int64_t side) {
  return (side + 1) / 2;
}

// One walk of a picture. Functions read the map x and fill the map y, which never overlap unless
// they say so.
class ForwardPass {
 public:
  ForwardPass(MapStore& store, ThreadPool& pool) : store_(store), pool_(pool) {}

  // y = activation(conv(x)) + residual
  void conv(const Map& x, const ConvLayer& layer, const Map& y, const Map* residual = nullptr) {
    Epilogue epilogue{.activation = layer.activation};
    if (residual != nullptr) {
      epilogue.residual = residual->data;
      epilogue.residual_stride = residual->stride;
    }
    if (const auto* pointwise = std::get_if<PointwiseConvolution>(&layer.conv)) {
      multiply(x, *pointwise, y, epilogue);
    } else if (const auto* spatial = std::get_if<SpatialConvolution>(&layer.conv)) {
      convolve(pool_, {x.data, x.height, x.width, x.stride}, *spatial, y.data, y.stride, epilogue);
    } else {  // only in places where both maps are whole
      depthwise(pool_, x.data, x.height, x.width, std::get<DepthwiseConvolution>(layer.conv),
                y.data, layer.activation);
    }
  }

  void csp(const Map& x, const CspBlock& block, const Map& y) {
    const auto count = static_cast<int64_t>(block.blocks.size());
    const OwnedMap parts(store_, x.height, x.width, (2 + count) * block.hidden);
    conv(x, block.cv1, parts->slice(0, 2 * block.hidden));
    for (int64_t i = 0; i < count; ++i) {
      const Map in = parts->slice((1 + i) * block.hidden, block.hidden);
      const Map out = parts->slice((2 + i) * block.hidden, block.hidden);
      std::visit([&](const auto& inner) { this->inner(in, inner, out); },
                 block.blocks[static_cast<size_t>(i)]);
    }
    conv(parts, block.cv2, y);
  }

  void pyramid(const Map& x, const PoolingPyramid& layer, const Map& y) {
    const int64_t width = layer.cv1.channels_out;
    const OwnedMap parts(store_, x.height, x.width, 4 * width);
    conv(x, layer.cv1, parts->slice(0, width));
    for (int64_t i = 0; i < 3; ++i) {
      max_pool_5(pool_, parts->data + i * width, x.height, x.width, width, parts->stride,
                 parts->data + (i + 1) * width, parts->stride);
    }
    conv(parts, layer.cv2, y);
  }

  void attention(const Map& x, const AttentionStage& stage, const Map& y) {
    const int64_t width = stage.cv1.channels_out / 2;
    const OwnedMap parts(store_, x.height, x.width, 2 * width);
    conv(x, stage.cv1, parts);
    const Map second = parts->slice(width, width);
    for (const AttentionBlock& block : stage.blocks) {
      attend(second, block.attention);
      const OwnedMap expanded(store_, x.height, x.width, block.up.channels_out);
      conv(second, block.up, expanded);
      conv(expanded, block.down, second, &second);
    }
    conv(parts, stage.cv2, y);
  }

  // The last layer writes to `y`.
  void branch(const Map& x, const std::vector<ConvLayer>& layers, const Map& y) {
    const OwnedMap first(store_, x.height, x.width, layers[0].channels_out);
    conv(x, layers[0], first);
    Map map = first;
    std::vector<std::unique_ptr<OwnedMap>> between;
    for (size_t i = 1; i + 1 < layers.size(); ++i) {
      between.push_back(
          std::make_unique<OwnedMap>(store_, x.height, x.width, layers[i].channels_out));
      conv(map, layers[i], *between.back());
      map = *between.back();
    }
    conv(map, layers.back(), y);
  }

  void up(const Map& x, const Map& y) {
    upsample_twice(pool_, x.data, x.height, x.width, x.channels, x.stride, y.data, y.stride);
  }

 private:
  void inner(const Map& x, const Bottleneck& block, const Map& y) {
    const OwnedMap middle(store_, x.height, x.width, block.cv1.channels_out);
    conv(x, block.cv1, middle);
    conv(middle, block.cv2, y, block.adds ? &x : nullptr);
  }

  void inner(const Map& x, const InnerCsp& block, const Map& y) {
    const int64_t width = block.cv1.channels_out;
    const OwnedMap parts(store_, x.height, x.width, 2 * width);
    const OwnedMap even(store_, x.height, x.width, width);
    const OwnedMap odd(store_, x.height, x.width, width);
    const Map first = parts->slice(0, width);
    const size_t count = block.blocks.size();
    conv(x, block.cv1, count == 0 ? first : even);
    for (size_t i = 0; i < count; ++i) {
      const Map& in = i % 2 == 0 ? even : odd;
      const Map& out = i % 2 == 0 ? odd : even;
      inner(in, block.blocks[i], i + 1 == count ? first : out);
    }
    conv(x, block.cv2, parts->slice(width, width));
    conv(parts, block.cv3, y);
  }

  // x += projection(heads(x) + position(values(x))), in place.
  void attend(const Map& x, const PixelAttention& layer) {
    const int64_t width = x.channels;
    const OwnedMap queries_keys(store_, x.height, x.width, 2 * width);
    const OwnedMap values(store_, x.height, x.width, width);
    const OwnedMap mixed(store_, x.height, x.width, width);
    const OwnedMap position(store_, x.height, x.width, width);
    multiply(x, layer.queries_keys, queries_keys, {});
    multiply(x, layer.values, values, {});
    const int64_t head = width / layer.heads;
    const AttentionShape shape{.queries = x.pixels(),
                               .keys = x.pixels(),
                               .heads = layer.heads,
                               .kv_heads = layer.heads,
                               .head_dim = head,
                               .scale = 1.0F / std::sqrt(static_cast<float>(head / 2))};
    fastvlm::attention(pool_, shape, queries_keys->data, 2 * width, queries_keys->data + width,
                       2 * width, values->data, width, mixed->data, width);
    conv(values, layer.position, position);
    for (int64_t i = 0; i < x.pixels() * width; ++i) mixed->data[i] += position->data[i];
    conv(mixed, layer.projection, x, &x);
  }

  void multiply(const Map& x, const PointwiseConvolution& layer, const Map& y, Epilogue epilogue) {
    epilogue.bias = layer.bias.data();
    std::visit(
        [&](const auto& w) {
          matmul(pool_, x.data, x.pixels(), x.stride, w, y.data, y.stride, epilogue);
        },
        layer.weights);
  }

  MapStore& store_;
  ThreadPool& pool_;
};

// Both branches of one grid.
HeadOutput run_head(ForwardPass& pass, const YoloLayers& layers, size_t level, const Map& x) {
  HeadOutput out;
  out.height = x.height;
  out.width = x.width;
  out.stride = 8 << level;
  out.boxes.resize(static_cast<size_t>(x.pixels() * 4 * layers.bins));
  out.scores.resize(static_cast<size_t>(x.pixels() * layers.classes));
  const HeadBranches& head = layers.head[level];
  pass.branch(x, head.box, {out.boxes.data(), x.height, x.width, 4 * layers.bins, 4 * layers.bins});
  pass.branch(x, head.classes,
              {out.scores.data(), x.height, x.width, layers.classes, layers.classes});
  return out;
}

}  // namespace

std::array<HeadOutput, 3> run_yolo(const YoloLayers& layers, const float* pixels, int64_t height,
                                   int64_t width, MapStore& store, ThreadPool& pool) {
  ForwardPass pass(store, pool);
  // Sides and widths of P3, P4, P5.
  const int64_t h[] = {height / 8, height / 16, height / 32};
  const int64_t w[] = {width / 8, width / 16, width / 32};
  const int64_t p3 = layers.backbone[1].csp.cv2.channels_out;
  const int64_t p4 = layers.backbone[2].csp.cv2.channels_out;
  const int64_t p5 = layers.pyramid.cv2.channels_out;
  const int64_t n4 = layers.top_down[0].cv2.channels_out;
  const int64_t down3 = layers.bottom_up[0].down.channels_out;
  const int64_t down4 = layers.bottom_up[1].down.channels_out;
  const auto down_stage = [&](const Map& x, const DownStage& stage, const Map& y) {
    const OwnedMap half(store, halved(x.height), halved(x.width), stage.down.channels_out);
    pass.conv(x, stage.down, half);
    pass.csp(half, stage.csp, y);
  };
  auto quarter = std::make_unique<OwnedMap>(store, height / 4, width / 4,
                                            layers.backbone[0].csp.cv2.channels_out);
  {
    const Map image{const_cast<float*>(pixels), height, width, 3, 3};  // only read
    const OwnedMap half(store, height / 2, width / 2, layers.stem.channels_out);
    pass.conv(image, layers.stem, half);
    down_stage(half, layers.backbone[0], *quarter);
  }
  // What the neck reads side by side; each part is written where it will be read. The largest has
  // the memory of the first map, which is no longer needed.
  const OwnedMap up4_p3(store, h[0], w[0], n4 + p3);
  const OwnedMap up5_p4(store, h[1], w[1], p5 + p4);
  const OwnedMap down3_n4(store, h[1], w[1], down3 + n4);
  const OwnedMap down4_p5(store, h[2], w[2], down4 + p5);
  const Map map_p3 = up4_p3->slice(n4, p3);
  const Map map_p4 = up5_p4->slice(p5, p4);
  const Map map_p5 = down4_p5->slice(down4, p5);
  const Map map_n4 = down3_n4->slice(down3, n4);

  down_stage(*quarter, layers.backbone[1], map_p3);
  quarter.reset();
  down_stage(map_p3, layers.backbone[2], map_p4);
  {
    const OwnedMap last(store, h[2], w[2], layers.backbone[3].csp.cv2.channels_out);
    down_stage(map_p4, layers.backbone[3], last);
    if (layers.attention) {
      const OwnedMap pooled(store, h[2], w[2], p5);
      pass.pyramid(last, layers.pyramid, pooled);
      pass.attention(pooled, *layers.attention, map_p5);
    } else {
      pass.pyramid(last, layers.pyramid, map_p5);
    }
  }

  pass.up(map_p5, up5_p4->slice(0, p5));
  pass.csp(up5_p4, layers.top_down[0], map_n4);
  pass.up(map_n4, up4_p3->slice(0, n4));
  std::array<HeadOutput, 3> outputs;
  const OwnedMap out3(store, h[0], w[0], layers.top_down[1].cv2.channels_out);
  pass.csp(up4_p3, layers.top_down[1], out3);
  outputs[0] = run_head(pass, layers, 0, out3);
  pass.conv(out3, layers.bottom_up[0].down, down3_n4->slice(0, down3));
  const OwnedMap out4(store, h[1], w[1], layers.bottom_up[0].csp.cv2.channels_out);
  pass.csp(down3_n4, layers.bottom_up[0].csp, out4);
  outputs[1] = run_head(pass, layers, 1, out4);
  pass.conv(out4, layers.bottom_up[1].down, down4_p5->slice(0, down4));
  const OwnedMap out5(store, h[2], w[2], layers.bottom_up[1].csp.cv2.channels_out);
  pass.csp(down4_p5, layers.bottom_up[1].csp, out5);
  outputs[2] = run_head(pass, layers, 2, out5);
  return outputs;
}

}  // namespace fastvlm
