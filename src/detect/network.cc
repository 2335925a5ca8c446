// SPDX-License-Identifier: Apache-2.0
#include "detect/network.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention.h"
#include "kernels/dot_matmul.h"
#include "kernels/pooling.h"

namespace fastvlm {
namespace {

// One walk of a picture. Functions read the map x and fill the map y, which never overlap unless
// they say so, or return a new map. Of blocks that end with a convolution of several parts side by
// side they return the parts, so that x can go before that convolution's output comes.
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
    } else if (const auto* winograd = std::get_if<WinogradConvolution>(&layer.conv)) {
      convolve(pool_, {x.data, x.height, x.width, x.stride}, *winograd, y.data, y.stride, epilogue);
    } else {  // only in places where both maps are whole
      depthwise(pool_, x.data, x.height, x.width, std::get<DepthwiseConvolution>(layer.conv),
                y.data, layer.activation);
    }
  }

  OwnedMap conv(const Map& x, const ConvLayer& layer) {
    OwnedMap y(store_, (x.height + layer.stride - 1) / layer.stride,
               (x.width + layer.stride - 1) / layer.stride, layer.channels_out);
    conv(x, layer, y);
    return y;
  }

  // What cv2 joins.
  OwnedMap parts(const Map& x, const CspBlock& block) {
    const auto count = static_cast<int64_t>(block.blocks.size());
    OwnedMap parts(store_, x.height, x.width, (2 + count) * block.hidden);
    conv(x, block.cv1, parts->slice(0, 2 * block.hidden));
    for (int64_t i = 0; i < count; ++i) {
      const Map in = parts->slice((1 + i) * block.hidden, block.hidden);
      const Map out = parts->slice((2 + i) * block.hidden, block.hidden);
      std::visit([&](const auto& inner) { this->inner(in, inner, out); },
                 block.blocks[static_cast<size_t>(i)]);
    }
    return parts;
  }

  OwnedMap parts(const Map& x, const PoolingPyramid& layer) {
    const int64_t width = layer.cv1.channels_out;
    OwnedMap parts(store_, x.height, x.width, 4 * width);
    conv(x, layer.cv1, parts->slice(0, width));
    for (int64_t i = 0; i < 3; ++i) {
      max_pool_5(pool_, parts->data + i * width, x.height, x.width, width, parts->stride,
                 parts->data + (i + 1) * width, parts->stride);
    }
    return parts;
  }

  OwnedMap parts(const Map& x, const AttentionStage& stage) {
    const int64_t width = stage.cv1.channels_out / 2;
    OwnedMap parts = conv(x, stage.cv1);
    const Map second = parts->slice(width, width);
    for (const AttentionBlock& block : stage.blocks) {
      attend(second, block.attention);
      const OwnedMap expanded = conv(second, block.up);
      conv(expanded, block.down, second, &second);
    }
    return parts;
  }

  // y = layers(x), at least two of them.
  void branch(const Map& x, const std::vector<ConvLayer>& layers, const Map& y) {
    OwnedMap map = conv(x, layers.front());
    for (size_t i = 1; i + 1 < layers.size(); ++i) map = conv(map, layers[i]);
    conv(map, layers.back(), y);
  }

  void up(const Map& x, const Map& y) {
    upsample_twice(pool_, x.data, x.height, x.width, x.channels, x.stride, y.data, y.stride);
  }

 private:
  void inner(const Map& x, const Bottleneck& block, const Map& y) {
    const OwnedMap middle = conv(x, block.cv1);
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
    const int64_t key_width = head / 2;
    const AttentionShape shape{.queries = x.pixels(),
                               .keys = x.pixels(),
                               .heads = layer.heads,
                               .kv_heads = layer.heads,
                               .head_dim = head,
                               .scale = 1.0F / std::sqrt(static_cast<float>(key_width))};
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
void run_head(ForwardPass& pass, const YoloLayers& layers, size_t level, const Map& x,
              MapStore& store, const TakeHeadOutput& take) {
  const HeadBranches& head = layers.head[level];
  const OwnedMap boxes(store, x.height, x.width, 4 * layers.bins);
  const OwnedMap scores(store, x.height, x.width, layers.classes);
  pass.branch(x, head.box, boxes);
  pass.branch(x, head.classes, scores);
  take({8 << level, boxes, scores});
}

}  // namespace

void run_yolo(const YoloLayers& layers, OwnedMap pixels, MapStore& store, ThreadPool& pool,
              const TakeHeadOutput& take) {
  ForwardPass pass(store, pool);
  // Sides of P3, P4, P5, and how wide they and the maps beside them are.
  const int64_t h[] = {pixels->height / 8, pixels->height / 16, pixels->height / 32};
  const int64_t w[] = {pixels->width / 8, pixels->width / 16, pixels->width / 32};
  const int64_t p3 = layers.backbone[1].csp.cv2.channels_out;
  const int64_t p4 = layers.backbone[2].csp.cv2.channels_out;
  const int64_t p5 = layers.pyramid.cv2.channels_out;
  const int64_t n4 = layers.top_down[0].cv2.channels_out;
  const int64_t down3 = layers.bottom_up[0].down.channels_out;
  const int64_t down4 = layers.bottom_up[1].down.channels_out;
  OwnedMap x = pass.conv(pixels, layers.stem);
  pixels.give_back();
  // x is the newest map; what is assigned to it takes the place of the one before.
  const auto descend = [&](const Map& from, const DownStage& stage) {
    x = pass.conv(from, stage.down);
    x = pass.parts(x, stage.csp);
  };

  descend(x, layers.backbone[0]);
  x = pass.conv(x, layers.backbone[0].csp.cv2);
  descend(x, layers.backbone[1]);
  // What the neck reads side by side is written where it will be read.
  OwnedMap n4_p3(store, h[0], w[0], n4 + p3);
  const Map map_p3 = n4_p3->slice(n4, p3);
  pass.conv(x, layers.backbone[1].csp.cv2, map_p3);
  descend(map_p3, layers.backbone[2]);
  OwnedMap p5_p4(store, h[1], w[1], p5 + p4);
  const Map map_p4 = p5_p4->slice(p5, p4);
  pass.conv(x, layers.backbone[2].csp.cv2, map_p4);
  descend(map_p4, layers.backbone[3]);
  x = pass.conv(x, layers.backbone[3].csp.cv2);
  x = pass.parts(x, layers.pyramid);
  const OwnedMap down4_p5(store, h[2], w[2], down4 + p5);
  const Map map_p5 = down4_p5->slice(down4, p5);
  if (layers.attention) {
    x = pass.conv(x, layers.pyramid.cv2);
    x = pass.parts(x, *layers.attention);
    pass.conv(x, layers.attention->cv2, map_p5);
  } else {
    pass.conv(x, layers.pyramid.cv2, map_p5);
  }

  pass.up(map_p5, p5_p4->slice(0, p5));
  x = pass.parts(p5_p4, layers.top_down[0]);
  p5_p4.give_back();
  const OwnedMap down3_n4(store, h[1], w[1], down3 + n4);
  const Map map_n4 = down3_n4->slice(down3, n4);
  pass.conv(x, layers.top_down[0].cv2, map_n4);
  pass.up(map_n4, n4_p3->slice(0, n4));
  x = pass.parts(n4_p3, layers.top_down[1]);
  n4_p3.give_back();
  x = pass.conv(x, layers.top_down[1].cv2);

  run_head(pass, layers, 0, x, store, take);
  pass.conv(x, layers.bottom_up[0].down, down3_n4->slice(0, down3));
  x = pass.parts(down3_n4, layers.bottom_up[0].csp);
  x = pass.conv(x, layers.bottom_up[0].csp.cv2);
  run_head(pass, layers, 1, x, store, take);
  pass.conv(x, layers.bottom_up[1].down, down4_p5->slice(0, down4));
  x = pass.parts(down4_p5, layers.bottom_up[1].csp);
  x = pass.conv(x, layers.bottom_up[1].csp.cv2);
  run_head(pass, layers, 2, x, store, take);
}

}  // namespace fastvlm
