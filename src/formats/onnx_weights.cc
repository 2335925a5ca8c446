// SPDX-License-Identifier: Apache-2.0
#include "formats/onnx_weights.h"

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "formats/protobuf.h"
#include "formats/python_names.h"
#include "kernels/half.h"

namespace fastvlm {
namespace {

constexpr char kExportAgain[] = "download or export the file again";
constexpr size_t kMostOnnxDimensions = 8;

// TensorProto.DataType
constexpr uint64_t kFloat = 1;
constexpr uint64_t kFloat16 = 10;
constexpr uint64_t kBFloat16 = 16;

// A TensorProto as it stands in the file.
struct Initializer {
  std::vector<int64_t> shape;
  uint64_t type = 0;
  bool external = false;
  std::span<const std::byte> raw;
  std::vector<float> floats;     // float_data
  std::vector<uint16_t> halves;  // int32_data: 16-bit types that have no raw data
};

// What is needed of a NodeProto.
struct Node {
  std::string name;
  std::string type;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
};

bool is_weight_name(std::string_view name) {
  constexpr std::array<std::string_view, 4> kEnds = {".weight", ".bias", ".running_mean",
                                                     ".running_var"};
  return name.starts_with("model.") &&
         std::any_of(kEnds.begin(), kEnds.end(), [&](auto end) { return name.ends_with(end); });
}

// "/model.10/m/m.0/ffn/ffn.0/conv/Conv" -> "model.10.m.0.ffn.0.conv": PyTorch's exporter names a
// node by its modules, and repeats the name of a Sequential in its children. Empty for other names.
std::string module_of(std::string_view node) {
  constexpr std::string_view kEnd = "/Conv";
  if (!node.starts_with("/model.") || !node.ends_with(kEnd)) return "";
  node.remove_suffix(kEnd.size());
  std::vector<std::string> modules;
  for (std::string& module : split(node.substr(1), '/')) {
    if (!modules.empty() && module.starts_with(modules.back() + ".")) {
      modules.back() = std::move(module);
    } else {
      modules.push_back(std::move(module));
    }
  }
  std::string name;
  for (const std::string& module : modules) name += (name.empty() ? "" : ".") + module;
  return name;
}

class ModelReader {
 public:
  explicit ModelReader(std::string_view label) : label_(label) {}

  Result<DetectorWeights> read(std::span<const std::byte> file) {
    FASTVLM_RETURN_IF_ERROR(read_model(file));
    // A weight takes two bytes at least, so this is twice of what the file can hold: few are named
    // again, those of small vectors.
    most_elements_ = std::min<uint64_t>(file.size(), kMostDetectorWeights);
    if (!seen_graph_) {
      return error(Code::kInvalid, cat(label_, ": expected an ONNX model, found no graph"),
                   "give a detector that Ultralytics exported");
    }
    for (const auto& [name, initializer] : initializers_) {
      if (is_weight_name(name)) FASTVLM_RETURN_IF_ERROR(keep(name, name));
    }
    for (const Node& node : nodes_) FASTVLM_RETURN_IF_ERROR(follow(node));
    return std::move(weights_);
  }

 private:
  Status damaged(std::string_view what) const {
    return error(Code::kInvalid,
                 cat(label_, ": is no ONNX model, or damaged or cut short (", what, ")"),
                 kExportAgain);
  }

  Status read_model(std::span<const std::byte> bytes) {
    ProtoField field;
    ProtoReader reader(bytes);
    while (reader.next(field)) {
      if (field.id == 7 && field.bytes_follow) FASTVLM_RETURN_IF_ERROR(read_graph(field.bytes));
      if (field.id == 14 && field.bytes_follow) FASTVLM_RETURN_IF_ERROR(read_property(field.bytes));
    }
    return reader.damaged() ? damaged("ModelProto") : Status();
  }

  // metadata_props; of Ultralytics' keys (names, stride, imgsz, task, …) two matter.
  Status read_property(std::span<const std::byte> bytes) {
    std::string_view key;
    std::string_view value;
    ProtoField field;
    ProtoReader reader(bytes);
    while (reader.next(field)) {
      if (field.id == 1) key = field.text();
      if (field.id == 2) value = field.text();
    }
    if (reader.damaged()) return damaged("metadata_props");
    if (key == "task" && value != "detect") {
      return error(Code::kUnsupported,
                   cat(label_, ": is exported for task `", printable(value.substr(0, 100)),
                       "`, expected `detect`"),
                   "give a detection model");
    }
    if (key != "names") return {};
    FASTVLM_ASSIGN(weights_.class_names,
                   parse_python_names(value, cat(label_, ": metadata `names`")));
    return {};
  }

  Status read_graph(std::span<const std::byte> bytes) {
    seen_graph_ = true;
    ProtoField field;
    ProtoReader reader(bytes);
    while (reader.next(field)) {
      if (field.id == 1 && field.bytes_follow) FASTVLM_RETURN_IF_ERROR(read_node(field.bytes));
      if (field.id == 5 && field.bytes_follow) FASTVLM_RETURN_IF_ERROR(read_tensor(field.bytes));
    }
    return reader.damaged() ? damaged("GraphProto") : Status();
  }

  // Only nodes that lead to a weight are remembered.
  Status read_node(std::span<const std::byte> bytes) {
    Node node;
    ProtoField field;
    ProtoReader reader(bytes);
    while (reader.next(field)) {
      if (field.id == 1) node.inputs.emplace_back(field.text());
      if (field.id == 2) node.outputs.emplace_back(field.text());
      if (field.id == 3) node.name = field.text();
      if (field.id == 4) node.type = field.text();
    }
    if (reader.damaged()) return damaged("NodeProto");
    const bool identity =
        node.type == "Identity" && node.inputs.size() == 1 && node.outputs.size() == 1;
    const bool convolution = node.type == "Conv" && node.inputs.size() >= 2;
    if (identity || convolution) nodes_.push_back(std::move(node));
    return {};
  }

  Status read_tensor(std::span<const std::byte> bytes) {
    Initializer tensor;
    std::string name;
    bool fits = true;
    ProtoField field;
    ProtoReader reader(bytes);
    while (reader.next(field)) {
      switch (field.id) {
        case 1:
          fits = read_list(field,
                           [&](uint64_t dimension) {
                             tensor.shape.push_back(static_cast<int64_t>(dimension));
                             return tensor.shape.size() <= kMostOnnxDimensions;
                           }) &&
                 fits;
          break;
        case 2:
          tensor.type = field.number;
          break;
        case 4:
          fits = read_floats(field, tensor.floats) && fits;
          break;
        case 5:
          fits = read_list(field,
                           [&](uint64_t half) {
                             tensor.halves.push_back(static_cast<uint16_t>(half));
                             return true;
                           }) &&
                 fits;
          break;
        case 8:
          name = field.text();
          break;
        case 9:
          tensor.raw = field.bytes;
          break;
        case 13:
          tensor.external = true;
          break;
        case 14:
          tensor.external = tensor.external || field.number != 0;
          break;
        default:
          break;
      }
    }
    if (reader.damaged() || !fits)
      return damaged(cat("tensor `", printable(name.substr(0, 200)), "`"));
    initializers_.insert_or_assign(std::move(name), std::move(tensor));
    return {};
  }

  // A repeated number, packed or not; `take` answers false where there are too many.
  template <typename Take>
  static bool read_list(const ProtoField& field, Take take) {
    if (!field.bytes_follow) return take(field.number);
    ProtoReader reader(field.bytes);
    while (!reader.at_end()) {
      uint64_t value = 0;
      if (!reader.varint(value) || !take(value)) return false;
    }
    return true;
  }

  static bool read_floats(const ProtoField& field, std::vector<float>& into) {
    if (!field.bytes_follow) {
      into.push_back(std::bit_cast<float>(static_cast<uint32_t>(field.number)));
      return true;
    }
    const size_t count = field.bytes.size() / sizeof(float);
    for (size_t i = 0; i < count; ++i) {
      into.push_back(load_unaligned<float>(field.bytes.data(), static_cast<int64_t>(i)));
    }
    return field.bytes.size() % sizeof(float) == 0;
  }

  // Equal initialisers are stored once and named again by an Identity; renamed ones are found by
  // the convolution that they belong to.
  Status follow(const Node& node) {
    if (node.type == "Identity") {
      return is_weight_name(node.outputs[0]) ? keep(node.inputs[0], node.outputs[0]) : Status();
    }
    const std::string module = module_of(node.name);
    if (module.empty()) return {};
    FASTVLM_RETURN_IF_ERROR(keep(node.inputs[1], module + ".weight"));
    return node.inputs.size() > 2 ? keep(node.inputs[2], module + ".bias") : Status();
  }

  // The initialiser `stored` under `name`, if there is one and the name is free.
  Status keep(const std::string& stored, const std::string& name) {
    const auto found = initializers_.find(stored);
    if (found == initializers_.end() || weights_.tensors.contains(name)) return {};
    FASTVLM_ASSIGN(const uint64_t elements, count(found->second, stored));
    elements_ += elements;
    if (elements_ > most_elements_) {
      return error(Code::kLimit,
                   cat(label_, ": names more than ", most_elements_, " weights: ",
                       most_elements_ < kMostDetectorWeights ? "the same ones again and again"
                                                             : "more than are read"),
                   "give .safetensors");
    }
    weights_.tensors.emplace(name, convert(found->second, elements));
    return {};
  }

  // How many numbers an initialiser holds, as its shape says.
  Result<uint64_t> count(const Initializer& from, const std::string& name) const {
    const std::string where = cat(label_, ": tensor `", printable(name), "`");
    if (from.external) {
      return error(Code::kUnsupported, cat(where, ": its data lie in another file"),
                   "export the model into one file");
    }
    if (from.type != kFloat && from.type != kFloat16 && from.type != kBFloat16) {
      return error(Code::kUnsupported,
                   cat(where, ": expected FLOAT, FLOAT16 or BFLOAT16, found type ", from.type),
                   "export the model with half=True or without options");
    }
    const uint64_t width = from.type == kFloat ? 4 : 2;
    uint64_t elements = 1;
    for (const int64_t dimension : from.shape) {
      if (dimension < 0 ||
          __builtin_mul_overflow(elements, static_cast<uint64_t>(dimension), &elements)) {
        return error(Code::kInvalid, cat(where, ": impossible shape ", bracketed(from.shape)),
                     kExportAgain);
      }
    }
    const bool raw = !from.raw.empty();
    const uint64_t stored = raw                   ? from.raw.size() / width
                            : from.type == kFloat ? from.floats.size()
                                                  : from.halves.size();
    if (stored != elements || from.raw.size() % width != 0) {
      return error(Code::kInvalid,
                   cat(where, ": shape ", bracketed(from.shape), " takes ", elements,
                       " values, found ", stored),
                   kExportAgain);
    }
    return elements;
  }

  static DetectorTensor convert(const Initializer& from, uint64_t elements) {
    const bool raw = !from.raw.empty();
    DetectorTensor tensor{from.shape, std::vector<float>(elements)};
    for (size_t i = 0; i < elements; ++i) {
      const auto index = static_cast<int64_t>(i);
      if (from.type == kFloat) {
        tensor.values[i] = raw ? load_unaligned<float>(from.raw.data(), index) : from.floats[i];
        continue;
      }
      const auto bits = raw ? load_unaligned<uint16_t>(from.raw.data(), index) : from.halves[i];
      tensor.values[i] = from.type == kFloat16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    }
    return tensor;
  }

  std::string label_;
  bool seen_graph_ = false;
  std::map<std::string, Initializer, std::less<>> initializers_;
  std::vector<Node> nodes_;
  DetectorWeights weights_;
  uint64_t elements_ = 0;  // of all that is kept
  uint64_t most_elements_ = 0;
};

}  // namespace

bool is_onnx_model(std::string_view beginning) {
  return beginning.size() > 2 && beginning[0] == 0x08 && beginning[1] > 0 && beginning[1] < 64;
}

Result<DetectorWeights> parse_onnx_weights(std::span<const std::byte> file,
                                           std::string_view label) {
  return ModelReader(label).read(file);
}

}  // namespace fastvlm
