// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>

#include "detect/network.h"

namespace fastvlm {
namespace {

// Ultralytics' own, not PyTorch's.
constexpr double kBatchNormEps = 1e-3;
// Convolutions of no more inputs stay at bf16 in an int8 network: they are as fast there, and it is
// they, the early ones before all, whose rounding costs accuracy (docs/ACCURACY.md).
constexpr int64_t kNarrowInputs = 48;
// With no more inputs, Winograd's method transforms more than it saves.
constexpr int64_t kFewInputs = 8;
constexpr int64_t kHeadWidth = 64;  // channels of an attention head
constexpr const char* kFamily =
    "only detection networks of the YOLO11 and YOLOv8 families are read";

// A convolution as PyTorch stores it, [outputs, inputs, kernel, kernel], its BatchNorm folded in.
struct Folded {
  int64_t outputs = 0;
  int64_t inputs = 0;  // of a group
  int64_t kernel = 0;
  std::vector<float> weights;
  std::vector<float> bias;

  int64_t row() const { return inputs * kernel * kernel; }
};

// What a layer is to be.
struct Wanted {
  int kernel = 1;
  int stride = 1;
  Activation activation = Activation::kSilu;
  bool depthwise = false;
  bool exact = false;  // at f32 whatever the network's arithmetic
};

class Reader {
 public:
  Reader(const DetectorWeights& weights, ThreadPool& pool, Arithmetic arithmetic)
      : weights_(weights), pool_(pool), arithmetic_(arithmetic) {}

  bool has(const std::string& name) const { return weights_.tensors.contains(name); }
  bool has_module(const std::string& key) const {
    const auto found = weights_.tensors.lower_bound(key + ".");
    return found != weights_.tensors.end() && found->first.starts_with(key + ".");
  }
  // Side `axis` of a tensor's shape, 0 when there is none.
  int64_t side(const std::string& name, size_t axis) const {
    const auto found = weights_.tensors.find(name);
    if (found == weights_.tensors.end() || axis >= found->second.shape.size()) return 0;
    return found->second.shape[axis];
  }
  std::string origin(const std::string& name) const { return cat(weights_.source, ": ", name); }
  void skip(const std::string& name) { used_.insert(name); }
  int64_t parameters() const { return parameters_; }

  // <key>.conv with <key>.bn where there is one, or <key>.conv.bias. Outputs are as many as stored.
  Result<ConvLayer> conv(const std::string& key, int64_t inputs, const Wanted& wanted) {
    FASTVLM_ASSIGN(const Folded folded, folded_conv(key, inputs, wanted));
    return packed(folded, inputs, wanted);
  }
  // <key>.weight and <key>.bias: the last of a branch.
  Result<ConvLayer> plain(const std::string& key, int64_t inputs, int64_t outputs) {
    const Wanted wanted{.activation = Activation::kNone, .exact = true};
    FASTVLM_ASSIGN(const Folded folded, stored(key, inputs, wanted));
    if (folded.outputs != outputs) {
      return error(
          Code::kInvalid,
          cat(origin(key + ".weight"), ": expected ", outputs, " outputs, found ", folded.outputs),
          kFamily);
    }
    return packed(folded, inputs, wanted);
  }
  Result<Folded> folded_conv(const std::string& key, int64_t inputs, const Wanted& wanted) {
    FASTVLM_ASSIGN(Folded folded, stored(key + ".conv", inputs, wanted));
    if (has(key + ".bn.weight")) {
      FASTVLM_RETURN_IF_ERROR(fold(key + ".bn", folded));
    } else if (!has(key + ".conv.bias")) {
      return missing(key + ".conv.bias");
    }
    return folded;
  }
  PointwiseConvolution pointwise(const std::vector<float>& weights, std::vector<float> bias,
                                 int64_t inputs, Arithmetic arithmetic) {
    const MatrixSource source{.type = WeightType::kF32,
                              .rows = static_cast<int64_t>(bias.size()),
                              .cols = inputs,
                              .data = weights.data()};
    parameters_ += static_cast<int64_t>(weights.size() + bias.size());
    PointwiseConvolution conv;
    conv.bias = std::move(bias);
    if (arithmetic == Arithmetic::kF32) {
      conv.weights = Matrix::pack(source, pool_);
    } else {
      conv.weights = DotMatrix::pack(source, arithmetic, pool_);
    }
    return conv;
  }
  Arithmetic arithmetic() const { return arithmetic_; }
  // Of the layers that are read from now on: whether their maps are the smallest, at 1/32. There
  // Winograd's weights, four times as large, would take more memory than the time is worth.
  void set_deepest(bool deepest) { deepest_ = deepest; }

  Status finish() const {
    for (const auto& [name, tensor] : weights_.tensors) {
      if (used_.contains(name) || name.ends_with("num_batches_tracked")) continue;
      return error(Code::kUnsupported,
                   cat(origin(name), ": a detection network of this family has no such tensor"),
                   kFamily);
    }
    return {};
  }

 private:
  Status missing(const std::string& name) const {
    return error(Code::kNotFound, cat(origin(name), ": no such tensor"), kFamily);
  }

  Result<std::vector<float>> per_channel(const std::string& name, int64_t channels) {
    const auto found = weights_.tensors.find(name);
    if (found == weights_.tensors.end()) return missing(name);
    used_.insert(name);
    if (found->second.shape != std::vector<int64_t>{channels}) {
      return error(Code::kInvalid,
                   cat(origin(name), ": expected shape [", channels, "], found ",
                       bracketed(found->second.shape)),
                   kFamily);
    }
    return found->second.values;
  }

  Result<Folded> stored(const std::string& key, int64_t inputs, const Wanted& wanted) {
    const std::string name = key + ".weight";
    const auto found = weights_.tensors.find(name);
    if (found == weights_.tensors.end()) return missing(name);
    used_.insert(name);
    const DetectorTensor& tensor = found->second;
    const int64_t grouped = wanted.depthwise ? 1 : inputs;
    const std::vector<int64_t>& shape = tensor.shape;
    const bool fits = shape.size() == 4 && shape[0] > 0 && shape[1] == grouped &&
                      shape[2] == wanted.kernel && shape[3] == wanted.kernel &&
                      (!wanted.depthwise || shape[0] == inputs);
    if (!fits) {
      return error(Code::kInvalid,
                   cat(origin(name), ": expected shape [",
                       wanted.depthwise ? cat(inputs) : std::string("outputs"), ", ", grouped, ", ",
                       wanted.kernel, ", ", wanted.kernel, "], found ", bracketed(shape)),
                   kFamily);
    }
    Folded folded{shape[0], grouped, wanted.kernel, tensor.values, {}};
    if (static_cast<int64_t>(folded.weights.size()) != folded.outputs * folded.row()) {
      return error(Code::kInvalid, cat(origin(name), ": expected ", folded.outputs * folded.row(),
                                       " numbers, found ", folded.weights.size()));
    }
    folded.bias.assign(static_cast<size_t>(folded.outputs), 0.0F);
    if (has(key + ".bias")) {
      FASTVLM_ASSIGN(folded.bias, per_channel(key + ".bias", folded.outputs));
    }
    return folded;
  }

  // w' = w g, b' = (b - mean) g + beta with g = gamma / sqrt(var + eps), in double.
  Status fold(const std::string& key, Folded& conv) {
    FASTVLM_ASSIGN(const auto gamma, per_channel(key + ".weight", conv.outputs));
    FASTVLM_ASSIGN(const auto beta, per_channel(key + ".bias", conv.outputs));
    FASTVLM_ASSIGN(const auto mean, per_channel(key + ".running_mean", conv.outputs));
    FASTVLM_ASSIGN(const auto var, per_channel(key + ".running_var", conv.outputs));
    const auto row = static_cast<size_t>(conv.row());
    for (size_t o = 0; o < gamma.size(); ++o) {
      const double wide = double{var[o]} + kBatchNormEps;
      if (!(wide > 0.0)) {
        return error(Code::kInvalid,
                     cat(origin(key + ".running_var"), ": expected variances of at least 0, found ",
                         var[o], " for channel ", o),
                     "the file is damaged or was converted wrongly; fetch it again");
      }
      const double scale = double{gamma[o]} / std::sqrt(wide);
      for (size_t i = o * row; i < (o + 1) * row; ++i) {
        conv.weights[i] = static_cast<float>(double{conv.weights[i]} * scale);
      }
      conv.bias[o] =
          static_cast<float>((double{conv.bias[o]} - double{mean[o]}) * scale + double{beta[o]});
    }
    return {};
  }

  Arithmetic arithmetic_of(int64_t inputs, const Wanted& wanted) const {
    if (wanted.exact) return Arithmetic::kF32;
    const bool narrow = inputs <= kNarrowInputs && arithmetic_ == Arithmetic::kInt8;
    return narrow ? Arithmetic::kBf16 : arithmetic_;
  }

  bool by_winograd(const Folded& folded, const Wanted& wanted, Arithmetic arithmetic) const {
    return wanted.kernel == 3 && wanted.stride == 1 && arithmetic == Arithmetic::kF32 &&
           !deepest_ && folded.inputs > kFewInputs;
  }

  ConvLayer packed(const Folded& folded, int64_t inputs, const Wanted& wanted) {
    ConvLayer layer;
    layer.stride = wanted.stride;
    layer.channels_in = inputs;
    layer.channels_out = folded.outputs;
    layer.activation = wanted.activation;
    const Arithmetic arithmetic = arithmetic_of(inputs, wanted);
    if (!wanted.depthwise && wanted.kernel == 1) {
      layer.conv = pointwise(folded.weights, folded.bias, inputs, arithmetic);
      return layer;
    }
    parameters_ += static_cast<int64_t>(folded.weights.size() + folded.bias.size());
    if (wanted.depthwise) {
      layer.conv = make_depthwise(folded.weights, folded.bias, wanted.kernel, wanted.stride, 1);
    } else if (by_winograd(folded, wanted, arithmetic)) {
      layer.conv = make_winograd(pool_, folded.weights, folded.bias, inputs);
    } else {
      layer.conv = make_spatial(pool_, folded.weights, folded.bias, inputs, wanted.kernel,
                                wanted.stride, arithmetic);
    }
    return layer;
  }

  const DetectorWeights& weights_;
  ThreadPool& pool_;
  Arithmetic arithmetic_;
  std::set<std::string, std::less<>> used_;
  int64_t parameters_ = 0;
  bool deepest_ = false;
};

constexpr Wanted kWide{.kernel = 3};
constexpr Wanted kHalving{.kernel = 3, .stride = 2};
constexpr Wanted kPoint{};
constexpr Wanted kLinear{.activation = Activation::kNone};

Result<Bottleneck> read_bottleneck(Reader& reader, const std::string& key, int64_t width,
                                   bool adds) {
  Bottleneck block;
  FASTVLM_ASSIGN(block.cv1, reader.conv(key + ".cv1", width, kWide));
  FASTVLM_ASSIGN(block.cv2, reader.conv(key + ".cv2", block.cv1.channels_out, kWide));
  if (block.cv2.channels_out != width) {
    return error(Code::kInvalid,
                 cat(reader.origin(key + ".cv2.conv.weight"), ": expected ", width,
                     " outputs, found ", block.cv2.channels_out),
                 kFamily);
  }
  block.adds = adds;
  return block;
}

Result<InnerCsp> read_inner_csp(Reader& reader, const std::string& key, int64_t width) {
  InnerCsp block;
  FASTVLM_ASSIGN(block.cv1, reader.conv(key + ".cv1", width, kPoint));
  FASTVLM_ASSIGN(block.cv2, reader.conv(key + ".cv2", width, kPoint));
  const int64_t inner = block.cv1.channels_out;
  for (int64_t i = 0; reader.has_module(cat(key, ".m.", i)); ++i) {
    FASTVLM_ASSIGN(Bottleneck inside, read_bottleneck(reader, cat(key, ".m.", i), inner, true));
    block.blocks.push_back(std::move(inside));
  }
  FASTVLM_ASSIGN(block.cv3, reader.conv(key + ".cv3", 2 * inner, kPoint));
  if (block.cv2.channels_out != inner || block.cv3.channels_out != width) {
    return error(Code::kInvalid,
                 cat(reader.origin(key), ": expected cv1, cv2 and cv3 with ", inner, ", ", inner,
                     " and ", width, " outputs, found ", inner, ", ", block.cv2.channels_out,
                     " and ", block.cv3.channels_out),
                 kFamily);
  }
  return block;
}

Result<CspBlock> read_csp(Reader& reader, const std::string& key, int64_t inputs, bool adds) {
  CspBlock block;
  FASTVLM_ASSIGN(block.cv1, reader.conv(key + ".cv1", inputs, kPoint));
  block.hidden = block.cv1.channels_out / 2;
  if (block.hidden < 1 || block.cv1.channels_out % 2 != 0) {
    return error(Code::kInvalid,
                 cat(reader.origin(key + ".cv1.conv.weight"),
                     ": expected an even number of outputs, found ", block.cv1.channels_out),
                 kFamily);
  }
  for (int64_t i = 0; reader.has_module(cat(key, ".m.", i)); ++i) {
    const std::string name = cat(key, ".m.", i);
    if (reader.has_module(name + ".cv3")) {
      FASTVLM_ASSIGN(InnerCsp inner, read_inner_csp(reader, name, block.hidden));
      block.blocks.emplace_back(std::move(inner));
    } else {
      FASTVLM_ASSIGN(Bottleneck inner, read_bottleneck(reader, name, block.hidden, adds));
      block.blocks.emplace_back(std::move(inner));
    }
  }
  const auto parts = 2 + static_cast<int64_t>(block.blocks.size());
  FASTVLM_ASSIGN(block.cv2, reader.conv(key + ".cv2", parts * block.hidden, kPoint));
  return block;
}

Result<DownStage> read_down_stage(Reader& reader, int64_t down, int64_t csp, int64_t inputs,
                                  int64_t beside, bool adds) {
  DownStage stage;
  FASTVLM_ASSIGN(stage.down, reader.conv(cat("model.", down), inputs, kHalving));
  FASTVLM_ASSIGN(stage.csp,
                 read_csp(reader, cat("model.", csp), stage.down.channels_out + beside, adds));
  return stage;
}

Result<PoolingPyramid> read_pyramid(Reader& reader, const std::string& key, int64_t inputs) {
  PoolingPyramid layer;
  FASTVLM_ASSIGN(layer.cv1, reader.conv(key + ".cv1", inputs, kPoint));
  FASTVLM_ASSIGN(layer.cv2, reader.conv(key + ".cv2", 4 * layer.cv1.channels_out, kPoint));
  return layer;
}

// qkv holds for each head 32 queries, 32 keys and 64 values.
Status split_heads(Reader& reader, const std::string& key, const Folded& qkv,
                   PixelAttention& attention) {
  const int64_t width = qkv.inputs;
  if (qkv.outputs != 2 * width) {
    return error(Code::kInvalid,
                 cat(reader.origin(key + ".conv.weight"), ": expected ", 2 * width,
                     " outputs, found ", qkv.outputs),
                 kFamily);
  }
  attention.heads = width / kHeadWidth;
  const auto columns = static_cast<size_t>(width);
  std::vector<float> queries_keys(2 * columns * columns);
  std::vector<float> queries_keys_bias(2 * columns);
  std::vector<float> values(columns * columns);
  std::vector<float> values_bias(columns);
  for (int64_t o = 0; o < qkv.outputs; ++o) {
    const int64_t head = o / (2 * kHeadWidth);
    const int64_t part = o % (2 * kHeadWidth) / (kHeadWidth / 2);  // query, key, value, value
    const int64_t lane = o % (kHeadWidth / 2);
    const bool value = part >= 2;
    const int64_t row =
        head * kHeadWidth + lane + (value ? (part - 2) * (kHeadWidth / 2) : part * width);
    std::vector<float>& weights = value ? values : queries_keys;
    std::copy_n(qkv.weights.begin() + o * width, width, weights.begin() + row * width);
    (value ? values_bias : queries_keys_bias)[static_cast<size_t>(row)] =
        qkv.bias[static_cast<size_t>(o)];
  }
  attention.queries_keys =
      reader.pointwise(queries_keys, std::move(queries_keys_bias), width, reader.arithmetic());
  attention.values = reader.pointwise(values, std::move(values_bias), width, reader.arithmetic());
  return {};
}

Result<AttentionBlock> read_attention_block(Reader& reader, const std::string& key, int64_t width) {
  AttentionBlock block;
  const std::string attn = key + ".attn";
  FASTVLM_ASSIGN(const Folded qkv, reader.folded_conv(attn + ".qkv", width, kLinear));
  FASTVLM_RETURN_IF_ERROR(split_heads(reader, attn + ".qkv", qkv, block.attention));
  FASTVLM_ASSIGN(block.attention.position,
                 reader.conv(attn + ".pe", width,
                             {.kernel = 3, .activation = Activation::kNone, .depthwise = true}));
  FASTVLM_ASSIGN(block.attention.projection, reader.conv(attn + ".proj", width, kLinear));
  FASTVLM_ASSIGN(block.up, reader.conv(key + ".ffn.0", width, kPoint));
  FASTVLM_ASSIGN(block.down, reader.conv(key + ".ffn.1", block.up.channels_out, kLinear));
  if (block.attention.projection.channels_out != width || block.down.channels_out != width) {
    return error(Code::kInvalid,
                 cat(reader.origin(key), ": expected proj and ffn.1 with ", width, " outputs"),
                 kFamily);
  }
  return block;
}

Result<AttentionStage> read_attention(Reader& reader, const std::string& key, int64_t inputs) {
  AttentionStage stage;
  FASTVLM_ASSIGN(stage.cv1, reader.conv(key + ".cv1", inputs, kPoint));
  const int64_t width = stage.cv1.channels_out / 2;
  if (stage.cv1.channels_out % (2 * kHeadWidth) != 0) {
    return error(Code::kUnsupported,
                 cat(reader.origin(key + ".cv1.conv.weight"), ": expected a multiple of ",
                     2 * kHeadWidth, " outputs, found ", stage.cv1.channels_out),
                 kFamily);
  }
  for (int64_t i = 0; reader.has_module(cat(key, ".m.", i)); ++i) {
    FASTVLM_ASSIGN(AttentionBlock block, read_attention_block(reader, cat(key, ".m.", i), width));
    stage.blocks.push_back(std::move(block));
  }
  FASTVLM_ASSIGN(stage.cv2, reader.conv(key + ".cv2", 2 * width, kPoint));
  if (stage.cv2.channels_out != inputs) {
    return error(Code::kInvalid,
                 cat(reader.origin(key + ".cv2.conv.weight"), ": expected ", inputs,
                     " outputs, found ", stage.cv2.channels_out),
                 kFamily);
  }
  return stage;
}

// cv3.<level> of YOLO11 has pairs of a depthwise and a pointwise convolution, that of YOLOv8 3x3
// ones.
Result<std::vector<ConvLayer>> read_class_branch(Reader& reader, const std::string& key,
                                                 int64_t inputs, int64_t classes) {
  std::vector<ConvLayer> layers;
  int64_t width = inputs;
  for (int i = 0; i < 2; ++i) {
    const std::string name = cat(key, ".", i);
    if (reader.has_module(name + ".0")) {
      FASTVLM_ASSIGN(ConvLayer spatial,
                     reader.conv(name + ".0", width, {.kernel = 3, .depthwise = true}));
      FASTVLM_ASSIGN(ConvLayer point, reader.conv(name + ".1", width, kPoint));
      width = point.channels_out;
      layers.push_back(std::move(spatial));
      layers.push_back(std::move(point));
    } else {
      FASTVLM_ASSIGN(ConvLayer spatial, reader.conv(name, width, kWide));
      width = spatial.channels_out;
      layers.push_back(std::move(spatial));
    }
  }
  FASTVLM_ASSIGN(ConvLayer last, reader.plain(key + ".2", width, classes));
  layers.push_back(std::move(last));
  return layers;
}

Result<std::vector<ConvLayer>> read_box_branch(Reader& reader, const std::string& key,
                                               int64_t inputs, int64_t bins) {
  std::vector<ConvLayer> layers;
  FASTVLM_ASSIGN(ConvLayer first, reader.conv(key + ".0", inputs, kWide));
  FASTVLM_ASSIGN(ConvLayer second, reader.conv(key + ".1", first.channels_out, kWide));
  FASTVLM_ASSIGN(ConvLayer last, reader.plain(key + ".2", second.channels_out, 4 * bins));
  layers.push_back(std::move(first));
  layers.push_back(std::move(second));
  layers.push_back(std::move(last));
  return layers;
}

Status read_head(Reader& reader, const std::string& key, YoloLayers& layers) {
  layers.bins = reader.side(key + ".cv2.0.2.weight", 0) / 4;
  layers.classes = reader.side(key + ".cv3.0.2.weight", 0);
  if (layers.bins < 2 || layers.bins > 64 || layers.classes < 1 || layers.classes > 100'000) {
    return error(Code::kUnsupported,
                 cat(reader.origin(key),
                     ": expected boxes of 2 to 64 bins a side and 1 to 100,000 "
                     "classes, found ",
                     layers.bins, " and ", layers.classes),
                 kFamily);
  }
  const int64_t widths[] = {layers.top_down[1].cv2.channels_out,
                            layers.bottom_up[0].csp.cv2.channels_out,
                            layers.bottom_up[1].csp.cv2.channels_out};
  for (size_t level = 0; level < 3; ++level) {
    HeadBranches& head = layers.head[level];
    reader.set_deepest(level == 2);
    FASTVLM_ASSIGN(head.box,
                   read_box_branch(reader, cat(key, ".cv2.", level), widths[level], layers.bins));
    FASTVLM_ASSIGN(head.classes, read_class_branch(reader, cat(key, ".cv3.", level), widths[level],
                                                   layers.classes));
  }
  reader.skip(key + ".dfl.conv.weight");  // 0, 1, 2, …: the distances of the bins
  return {};
}

// The published sizes by the width of the stem, and of one more block where two share it.
std::string describe(const YoloLayers& layers, bool eleven) {
  const int64_t stem = layers.stem.channels_out;
  const size_t depth = layers.backbone[0].csp.blocks.size();
  const char* size = "";
  if (stem == 16) size = "n";
  if (stem == 32) size = "s";
  if (stem == 48) size = "m";
  if (stem == 64) size = !eleven || depth > 1 ? "l" : "m";
  if (stem == 80 || stem == 96) size = "x";
  return cat(eleven ? "YOLO11" : "YOLOv8", size);
}

}  // namespace

Result<YoloLayers> read_yolo(const DetectorWeights& weights, ThreadPool& pool,
                             Arithmetic arithmetic) {
  Reader reader(weights, pool, arithmetic);
  const bool eleven = reader.has_module("model.10.m");
  // The neck's layers are counted from the last of the backbone.
  const int64_t last = eleven ? 10 : 9;
  const std::string head = cat("model.", last + 13);
  if (!reader.has(head + ".cv2.0.2.weight")) {
    return error(
        Code::kUnsupported,
        cat(weights.source, ": expected the tensors of a YOLO11 or YOLOv8 detector, found ",
            weights.tensors.size(), " tensors without ", head, ".cv2.0.2.weight"),
        kFamily);
  }
  YoloLayers layers;
  FASTVLM_ASSIGN(layers.stem, reader.conv("model.0", 3, {.kernel = 3, .stride = 2, .exact = true}));
  int64_t width = layers.stem.channels_out;
  for (int64_t i = 0; i < 4; ++i) {
    reader.set_deepest(i == 3);
    FASTVLM_ASSIGN(DownStage stage, read_down_stage(reader, 2 * i + 1, 2 * i + 2, width, 0, true));
    width = stage.csp.cv2.channels_out;
    layers.backbone[static_cast<size_t>(i)] = std::move(stage);
  }
  FASTVLM_ASSIGN(layers.pyramid, read_pyramid(reader, "model.9", width));
  width = layers.pyramid.cv2.channels_out;
  if (eleven) {
    FASTVLM_ASSIGN(layers.attention, read_attention(reader, "model.10", width));
  }
  // YOLOv8's neck does not add its bottlenecks' inputs.
  const int64_t p3 = layers.backbone[1].csp.cv2.channels_out;
  const int64_t p4 = layers.backbone[2].csp.cv2.channels_out;
  const int64_t p5 = width;
  reader.set_deepest(false);
  FASTVLM_ASSIGN(layers.top_down[0], read_csp(reader, cat("model.", last + 3), p5 + p4, eleven));
  const int64_t n4 = layers.top_down[0].cv2.channels_out;
  FASTVLM_ASSIGN(layers.top_down[1], read_csp(reader, cat("model.", last + 6), n4 + p3, eleven));
  FASTVLM_ASSIGN(
      layers.bottom_up[0],
      read_down_stage(reader, last + 7, last + 9, layers.top_down[1].cv2.channels_out, n4, eleven));
  reader.set_deepest(true);
  FASTVLM_ASSIGN(layers.bottom_up[1],
                 read_down_stage(reader, last + 10, last + 12,
                                 layers.bottom_up[0].csp.cv2.channels_out, p5, eleven));
  FASTVLM_RETURN_IF_ERROR(read_head(reader, head, layers));
  FASTVLM_RETURN_IF_ERROR(reader.finish());
  layers.parameters = reader.parameters();
  layers.kind = describe(layers, eleven);
  return layers;
}

}  // namespace fastvlm
