// SPDX-License-Identifier: Apache-2.0
#include "formats/detector_weights.h"

#include <algorithm>
#include <utility>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "formats/onnx_weights.h"
#include "formats/python_names.h"
#include "formats/safetensors.h"
#include "formats/torch_archive.h"

namespace fastvlm {
namespace {

constexpr char kTake[] =
    "give a YOLO11 or YOLOv8 detector as .safetensors, Ultralytics .pt or .onnx";

// Whether the bytes begin as a zip archive does.
bool is_zip_archive(std::string_view beginning) {
  return beginning.starts_with("PK\x03\x04") || beginning.starts_with("PK\x05\x06");
}

Result<DetectorWeights> from_safetensors(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const SafetensorsFile file, SafetensorsFile::open(path));
  DetectorWeights weights;
  for (const auto& [name, tensor] : file.tensors()) {
    if (name.ends_with("num_batches_tracked")) continue;
    FASTVLM_ASSIGN(auto values, to_floats(tensor, cat(path.string(), ": tensor `", name, "`")));
    weights.tensors.emplace(name, DetectorTensor{tensor.shape, std::move(values)});
    file.release(tensor);
  }
  const auto names = file.metadata().find("names");
  if (names != file.metadata().end()) {
    FASTVLM_ASSIGN(weights.class_names,
                   parse_python_names(names->second, cat(path.string(), ": metadata `names`")));
  }
  return weights;
}

// "model.0.conv.weight" also from "model.model.0.conv.weight" (a wrapper's state) and from
// "0.conv.weight" (the inner Sequential's).
Status use_own_names(DetectorWeights& weights) {
  const auto all_begin = [&](std::string_view prefix) {
    return std::all_of(weights.tensors.begin(), weights.tensors.end(),
                       [&](const auto& entry) { return entry.first.starts_with(prefix); });
  };
  const bool wrapped = all_begin("model.model.");
  const bool bare = weights.tensors.find("0.conv.weight") != weights.tensors.end();
  if (wrapped || bare) {
    std::map<std::string, DetectorTensor, std::less<>> renamed;
    for (auto& [name, tensor] : weights.tensors) {
      renamed.emplace(wrapped ? name.substr(6) : "model." + name, std::move(tensor));
    }
    weights.tensors = std::move(renamed);
  }
  if (weights.tensors.find("model.0.conv.weight") != weights.tensors.end()) return {};
  const std::string found = weights.tensors.empty()
                                ? "no tensor"
                                : cat(weights.tensors.size(), " others, the first of them `",
                                      printable(weights.tensors.begin()->first), "`");
  return error(Code::kInvalid,
               cat(weights.source, ": expected a tensor `model.0.conv.weight`, found ", found),
               kTake);
}

Result<DetectorWeights> read_container(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const std::string beginning, read_beginning(path, 16));
  if (beginning.starts_with("\x80\x02\x8a\x0a")) {
    return error(Code::kUnsupported,
                 cat(path.string(), ": is a PyTorch file of the time before version 1.6"),
                 "save it again with a newer PyTorch, or give .safetensors or .onnx");
  }
  if (is_zip_archive(beginning)) {
    FASTVLM_ASSIGN(const MappedFile file, MappedFile::open(path));
    return parse_torch_archive(file.bytes(), path.string());
  }
  // A safetensors file begins with the length of its header, and that may look like a field.
  const bool safetensors = beginning.size() > 8 && beginning[7] == 0 && beginning[8] == '{';
  if (!safetensors && is_onnx_model(beginning)) {
    FASTVLM_ASSIGN(const MappedFile file, MappedFile::open(path));
    return parse_onnx_weights(file.bytes(), path.string());
  }
  return from_safetensors(path);
}

}  // namespace

Result<DetectorWeights> read_detector_weights(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(DetectorWeights weights, read_container(path));
  weights.source = path.string();
  FASTVLM_RETURN_IF_ERROR(use_own_names(weights));
  return weights;
}

}  // namespace fastvlm
