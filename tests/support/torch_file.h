// SPDX-License-Identifier: Apache-2.0
// Writes detectors as Ultralytics and torch.save do: a zip archive with the pickled module tree
// (protocol 2, classes by name, storages by persistent identifier) and the bytes of the storages.
#pragma once

#include <zip.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "formats/detector_weights.h"
#include "formats/narrow.h"

namespace fastvlm::test {

struct ZipEntry {
  std::string name;
  std::string bytes;
  bool deflated = false;
};

inline void write_zip(const std::filesystem::path& path, const std::vector<ZipEntry>& entries) {
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, nullptr);
  for (const ZipEntry& entry : entries) {
    zip_source_t* source = zip_source_buffer(archive, entry.bytes.data(), entry.bytes.size(), 0);
    const zip_int64_t index = zip_file_add(archive, entry.name.c_str(), source, 0);
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index),
                             entry.deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0);
  }
  zip_close(archive);
}

// The opcodes that Python's pickler emits for protocol 2, less the BINPUTs that nothing recalls.
class PickleWriter {
 public:
  PickleWriter() { raw("\x80\x02"); }

  PickleWriter& raw(const std::string& bytes) {
    out_ += bytes;
    return *this;
  }
  PickleWriter& mark() { return raw("("); }
  PickleWriter& none() { return raw("N"); }
  PickleWriter& boolean(bool value) { return raw(value ? "\x88" : "\x89"); }
  PickleWriter& integer(int64_t value) {
    if (value >= 0 && value < 256) return raw("K").little(value, 1);
    if (value >= 0 && value < 65536) return raw("M").little(value, 2);
    if (value >= INT32_MIN && value <= INT32_MAX) return raw("J").little(value, 4);
    return raw(std::string("\x8a\x08", 2)).little(value, 8);
  }
  PickleWriter& text(const std::string& value) {
    return raw("X").little(static_cast<int64_t>(value.size()), 4).raw(value);
  }
  // Named the first time, recalled from the memo afterwards, as the pickler does.
  PickleWriter& global(const std::string& module, const std::string& name) {
    const auto [known, added] = memo_.emplace(module + "\n" + name, memo_.size());
    if (!added) return raw("j").little(static_cast<int64_t>(known->second), 4);
    return raw("c" + module + "\n" + name + "\nr").little(static_cast<int64_t>(known->second), 4);
  }
  PickleWriter& tuple(const std::vector<int64_t>& values) {
    mark();
    for (const int64_t value : values) integer(value);
    return raw("t");
  }
  PickleWriter& ordered_dict() { return global("collections", "OrderedDict").raw(")R"); }
  // BINPERSID ('storage', torch.HalfStorage, key, 'cpu', numel)
  PickleWriter& storage(const std::string& type, const std::string& key, int64_t numel) {
    mark().text("storage").global("torch", type).text(key).text("cpu").integer(numel);
    return raw("tQ");
  }
  PickleWriter& tensor(const std::string& type, const std::string& key, int64_t numel,
                       int64_t offset, const std::vector<int64_t>& shape,
                       const std::vector<int64_t>& strides) {
    global("torch._utils", "_rebuild_tensor_v2").mark().storage(type, key, numel).integer(offset);
    return tuple(shape).tuple(strides).boolean(false).ordered_dict().raw("tR");
  }
  std::string finished() const { return out_ + "."; }

 private:
  PickleWriter& little(int64_t value, size_t count) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return raw(bytes.substr(0, count));
  }

  std::string out_;
  std::map<std::string, size_t> memo_;
};

inline std::vector<int64_t> contiguous_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

enum class TorchType { kF32, kF16, kBF16 };

// A detector in a checkpoint dict {"epoch", "model" or "ema", …}.
class TorchFileWriter {
 public:
  explicit TorchFileWriter(TorchType type = TorchType::kF16, bool ema = false)
      : type_(type), ema_(ema) {}

  void write(const DetectorWeights& weights, const std::filesystem::path& path) {
    Module root;
    for (const auto& [name, tensor] : weights.tensors) {
      Module* module = &root;
      size_t begin = 0;
      for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', begin)) {
        module = &module->children[name.substr(begin, dot - begin)];
        begin = dot + 1;
      }
      module->tensors[name.substr(begin)] = &tensor;
    }
    pickle_.raw("}").mark().text("epoch").integer(-1);
    pickle_.text(ema_ ? "model" : "ema").none().text(ema_ ? "ema" : "model");
    module(root, "ultralytics.nn.tasks", "DetectionModel", &weights.class_names);
    pickle_.text("optimizer").none().raw("u");
    entries_.insert(entries_.begin(), {"best/data.pkl", pickle_.finished()});
    entries_.push_back({"best/version", "3\n"});
    write_zip(path, entries_);
  }

 private:
  struct Module {
    std::map<std::string, Module> children;
    std::map<std::string, const DetectorTensor*> tensors;
  };

  static bool is_buffer(const std::string& name) { return name.starts_with("running_"); }

  void module(const Module& self, const std::string& package, const std::string& name,
              const std::vector<std::string>* class_names = nullptr) {
    pickle_.global(package, name).raw(")\x81}").mark();
    pickle_.text("training").boolean(false);
    for (const bool buffers : {false, true}) {
      pickle_.text(buffers ? "_buffers" : "_parameters").ordered_dict().mark();
      for (const auto& [key, tensor] : self.tensors) {
        if (is_buffer(key) != buffers) continue;
        pickle_.text(key);
        parameter(*tensor, !buffers);
      }
      pickle_.raw("u");
    }
    pickle_.text("_non_persistent_buffers_set").global("__builtin__", "set").raw("]\x85R");
    pickle_.text("_forward_hooks").ordered_dict();
    pickle_.text("_modules").ordered_dict().mark();
    for (const auto& [key, child] : self.children) {
      pickle_.text(key);
      const bool convolution = child.children.contains("conv");
      if (convolution) {
        module(child, "ultralytics.nn.modules.conv", "Conv");
      } else {
        module(child, "torch.nn.modules.container", "Sequential");
      }
    }
    pickle_.raw("u");
    if (class_names != nullptr && !class_names->empty()) {
      pickle_.text("names").raw("}").mark();
      for (size_t i = 0; i < class_names->size(); ++i) {
        pickle_.integer(static_cast<int64_t>(i)).text((*class_names)[i]);
      }
      pickle_.raw("u");
    }
    pickle_.raw("ub");
  }

  void parameter(const DetectorTensor& tensor, bool wrapped) {
    const std::string key = std::to_string(entries_.size());
    std::string bytes;
    for (const float value : tensor.values) append(value, bytes);
    const auto numel = static_cast<int64_t>(tensor.values.size());
    entries_.push_back({"best/data/" + key, std::move(bytes)});
    if (wrapped) pickle_.global("torch._utils", "_rebuild_parameter").mark();
    const char* names[] = {"FloatStorage", "HalfStorage", "BFloat16Storage"};
    pickle_.tensor(names[static_cast<int>(type_)], key, numel, 0, tensor.shape,
                   contiguous_strides(tensor.shape));
    if (wrapped) pickle_.boolean(false).ordered_dict().raw("tR");
  }

  void append(float value, std::string& bytes) const {
    if (type_ == TorchType::kF32) {
      bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
      return;
    }
    const uint16_t bits = type_ == TorchType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
    bytes.append(reinterpret_cast<const char*>(&bits), sizeof bits);
  }

  TorchType type_;
  bool ema_;
  PickleWriter pickle_;
  std::vector<ZipEntry> entries_;
};

}  // namespace fastvlm::test
