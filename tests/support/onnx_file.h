// SPDX-License-Identifier: Apache-2.0
// Writes the parts of an Ultralytics ONNX export that carry weights: initialisers, the nodes that
// use them, metadata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "formats/detector_weights.h"
#include "formats/narrow.h"

namespace fastvlm::test {

// A message of protocol buffers, field after field.
class ProtoWriter {
 public:
  ProtoWriter& number(uint32_t id, uint64_t value) { return varint(id << 3).varint(value); }
  ProtoWriter& bytes(uint32_t id, const std::string& value) {
    varint(id << 3 | 2).varint(value.size());
    out_ += value;
    return *this;
  }
  ProtoWriter& varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
    return *this;
  }
  const std::string& str() const { return out_; }

 private:
  std::string out_;
};

struct OnnxOptions {
  bool half = false;
  bool renamed = false;  // initialisers "onnx::Conv_7", as optimisers of graphs leave them
};

inline std::string onnx_tensor(const std::string& name, const DetectorTensor& tensor, bool half) {
  ProtoWriter proto;
  std::string raw;
  for (const int64_t dimension : tensor.shape) proto.number(1, static_cast<uint64_t>(dimension));
  for (const float value : tensor.values) {
    const uint16_t bits = f32_to_f16(value);
    raw.append(half ? reinterpret_cast<const char*>(&bits) : reinterpret_cast<const char*>(&value),
               half ? sizeof bits : sizeof value);
  }
  return proto.number(2, half ? 10 : 1).bytes(8, name).bytes(9, raw).str();
}

// ModelProto of a GraphProto and metadata.
inline std::string onnx_model(const std::string& graph,
                              const std::vector<std::pair<std::string, std::string>>& metadata) {
  ProtoWriter model;
  model.number(1, 9).bytes(2, "pytorch").bytes(7, graph);
  for (const auto& [key, value] : metadata) {
    model.bytes(14, ProtoWriter().bytes(1, key).bytes(2, value).str());
  }
  return model.str();
}

inline std::string onnx_names(const std::vector<std::string>& names) {
  std::string text = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    const char quote = names[i].find('\'') == std::string::npos ? '\'' : '"';
    text += (i == 0 ? "" : ", ") + std::to_string(i) + ": " + quote + names[i] + quote;
  }
  return text + "}";
}

inline std::string onnx_detector(const DetectorWeights& weights, const OnnxOptions& options = {}) {
  ProtoWriter graph;
  int count = 0;
  const auto stored_name = [&](const std::string& name) {
    return options.renamed ? "onnx::Conv_" + std::to_string(count++) : name;
  };
  for (const auto& [name, tensor] : weights.tensors) {
    if (!name.ends_with(".weight")) continue;
    const std::string module = name.substr(0, name.size() - 7);
    std::string node = module;
    for (char& sign : node) {
      if (sign == '.') sign = '/';
    }
    // "model/23/cv2/0/2" -> "/model.23/cv2.0/2": numbers stay with the name before them.
    for (size_t i = 0; i + 1 < node.size(); ++i) {
      if (node[i] == '/' && node[i + 1] >= '0' && node[i + 1] <= '9') node[i] = '.';
    }
    const std::string weight = stored_name(name);
    ProtoWriter conv;
    conv.bytes(1, "/previous_output").bytes(1, weight);
    graph.bytes(5, onnx_tensor(weight, tensor, options.half));
    if (const auto bias = weights.tensors.find(module + ".bias"); bias != weights.tensors.end()) {
      const std::string stored = stored_name(bias->first);
      conv.bytes(1, stored);
      graph.bytes(5, onnx_tensor(stored, bias->second, options.half));
    }
    conv.bytes(2, "/" + node + "/Conv_output_0").bytes(3, "/" + node + "/Conv").bytes(4, "Conv");
    graph.bytes(1, conv.str());
  }
  // A constant that is no weight (a shape of int64), as real graphs have many.
  graph.bytes(5, ProtoWriter()
                     .number(1, 1)
                     .number(2, 7)
                     .bytes(8, "/model.10/Constant_output_0")
                     .bytes(9, std::string(8, '\1'))
                     .str());
  return onnx_model(
      graph.str(),
      {{"task", "detect"}, {"stride", "32"}, {"names", onnx_names(weights.class_names)}});
}

inline void write_onnx(const DetectorWeights& weights, const std::filesystem::path& path,
                       const OnnxOptions& options = {}) {
  std::ofstream(path, std::ios::binary) << onnx_detector(weights, options);
}

}  // namespace fastvlm::test
