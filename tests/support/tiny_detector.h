// SPDX-License-Identifier: Apache-2.0
// Detectors of a few channels with made-up weights, under Ultralytics' names.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "formats/detector_weights.h"

namespace fastvlm::test {

class TinyDetector {
 public:
  // `normed`: every convolution has a BatchNorm, which together make the same network as without.
  TinyDetector(bool eleven, bool normed, int64_t classes) : eleven_(eleven), normed_(normed) {
    weights_.source = "tiny.safetensors";
    const int64_t last = eleven ? 10 : 9;
    conv("model.0", 3, 4, 3);
    down_stage(1, 4, 8, 8, false);
    down_stage(3, 8, 8, 8, false);
    down_stage(5, 8, 16, 16, eleven);
    down_stage(7, 16, 16, 128, eleven);
    conv("model.9.cv1", 128, 8, 1);
    conv("model.9.cv2", 32, 128, 1);
    if (eleven) attention("model.10", 128);
    csp(last + 3, 128 + 16, 16, false);
    csp(last + 6, 16 + 8, 8, false);
    conv(name(last + 7), 8, 8, 3);
    csp(last + 9, 8 + 16, 16, false);
    conv(name(last + 10), 16, 16, 3);
    csp(last + 12, 16 + 128, 24, eleven);
    const int64_t widths[] = {8, 16, 24};
    for (int level = 0; level < 3; ++level) head(name(last + 13), level, widths[level], classes);
    put(name(last + 13) + ".dfl.conv.weight", {1, 16, 1, 1}, [](int64_t i) { return float(i); });
  }

  DetectorWeights& weights() { return weights_; }

 private:
  static std::string name(int64_t index) { return "model." + std::to_string(index); }

  void put(const std::string& tensor, std::vector<int64_t> shape,
           const std::function<float(int64_t)>& value) {
    const int64_t count =
        std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    DetectorTensor& made = weights_.tensors[tensor];
    made.shape = std::move(shape);
    for (int64_t i = 0; i < count; ++i) made.values.push_back(value(i));
  }
  // -1 .. 1, the same for every network that is made in the same way.
  float random() { return static_cast<float>(engine_()) / 1073741824.0F - 1.0F; }

  void plain(const std::string& key, int64_t inputs, int64_t outputs, int64_t kernel) {
    const float size = 1.5F / std::sqrt(static_cast<float>(inputs * kernel * kernel));
    put(key + ".weight", {outputs, inputs, kernel, kernel},
        [&](int64_t) { return size * random(); });
    put(key + ".bias", {outputs}, [&](int64_t) { return 0.2F * random(); });
  }

  void conv(const std::string& key, int64_t inputs, int64_t outputs, int64_t kernel) {
    plain(key + ".conv", inputs, outputs, kernel);
    std::vector<float> factors[3];
    for (auto& list : factors) {
      for (int64_t o = 0; o < outputs; ++o) list.push_back(random());
    }
    if (!normed_) return;
    auto& stored = weights_.tensors[key + ".conv.weight"].values;
    const auto bias = weights_.tensors[key + ".conv.bias"].values;
    weights_.tensors.erase(key + ".conv.bias");
    const auto row = static_cast<size_t>(inputs * kernel * kernel);
    for (const char* part : {"weight", "bias", "running_mean", "running_var"}) {
      weights_.tensors[key + ".bn." + part].shape = {outputs};
    }
    for (size_t o = 0; o < bias.size(); ++o) {
      const float gamma = 1.0F + 0.5F * factors[0][o];
      const float mean = factors[1][o];
      const float var = 1.0F + 0.9F * factors[2][o];
      const float scale = gamma / std::sqrt(var + 1e-3F);
      for (size_t i = o * row; i < (o + 1) * row; ++i) stored[i] /= scale;
      weights_.tensors[key + ".bn.weight"].values.push_back(gamma);
      weights_.tensors[key + ".bn.bias"].values.push_back(bias[o] + mean * scale);
      weights_.tensors[key + ".bn.running_mean"].values.push_back(mean);
      weights_.tensors[key + ".bn.running_var"].values.push_back(var);
    }
  }

  void bottleneck(const std::string& key, int64_t width) {
    conv(key + ".cv1", width, eleven_ ? width / 2 : width, 3);
    conv(key + ".cv2", eleven_ ? width / 2 : width, width, 3);
  }

  void csp(int64_t index, int64_t inputs, int64_t outputs, bool inner) {
    const int64_t hidden = outputs / 2;
    const std::string key = name(index);
    conv(key + ".cv1", inputs, 2 * hidden, 1);
    if (inner) {
      conv(key + ".m.0.cv1", hidden, hidden / 2, 1);
      conv(key + ".m.0.cv2", hidden, hidden / 2, 1);
      for (const char* block : {".m.0.m.0", ".m.0.m.1"}) {
        conv(key + block + ".cv1", hidden / 2, hidden / 2, 3);
        conv(key + block + ".cv2", hidden / 2, hidden / 2, 3);
      }
      conv(key + ".m.0.cv3", hidden, hidden, 1);
    } else {
      bottleneck(key + ".m.0", hidden);
    }
    conv(key + ".cv2", 3 * hidden, outputs, 1);
  }

  void down_stage(int64_t index, int64_t inputs, int64_t middle, int64_t outputs, bool inner) {
    conv(name(index), inputs, middle, 3);
    csp(index + 1, middle, outputs, inner);
  }

  void attention(const std::string& key, int64_t width) {
    const int64_t half = width / 2;
    conv(key + ".cv1", width, width, 1);
    conv(key + ".m.0.attn.qkv", half, 2 * half, 1);
    conv(key + ".m.0.attn.pe", 1, half, 3);
    conv(key + ".m.0.attn.proj", half, half, 1);
    conv(key + ".m.0.ffn.0", half, 2 * half, 1);
    conv(key + ".m.0.ffn.1", 2 * half, half, 1);
    conv(key + ".cv2", width, width, 1);
  }

  void head(const std::string& key, int level, int64_t inputs, int64_t classes) {
    const std::string box = key + ".cv2." + std::to_string(level);
    const std::string kind = key + ".cv3." + std::to_string(level);
    conv(box + ".0", inputs, 16, 3);
    conv(box + ".1", 16, 16, 3);
    plain(box + ".2", 16, 64, 1);
    if (eleven_) {
      conv(kind + ".0.0", 1, inputs, 3);
      conv(kind + ".0.1", inputs, 12, 1);
      conv(kind + ".1.0", 1, 12, 3);
      conv(kind + ".1.1", 12, 12, 1);
    } else {
      conv(kind + ".0", inputs, 12, 3);
      conv(kind + ".1", 12, 12, 3);
    }
    plain(kind + ".2", 12, classes, 1);
  }

  bool eleven_;
  bool normed_;
  std::minstd_rand engine_{5};
  DetectorWeights weights_;
};

}  // namespace fastvlm::test
