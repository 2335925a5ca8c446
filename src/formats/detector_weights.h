// SPDX-License-Identifier: Apache-2.0
// The weights of a YOLO detector, from whichever container they come in. Goals: three containers,
// one set of names, nothing of a file trusted. Non-goals: what the network does with them, other
// exports (TorchScript, TensorRT, OpenVINO, TFLite).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace fastvlm {

inline constexpr int64_t kMostDetectorWeights = int64_t{1} << 28;  // of all tensors: 1 GiB as f32

// Row-major; convolutions are [out, in / groups, kH, kW] as in PyTorch.
struct DetectorTensor {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// A detector's tensors under Ultralytics' names ("model.0.conv.weight"), whatever file they came
// from, as f32. BatchNorms are as they are stored: folded into the convolutions or not.
struct DetectorWeights {
  std::map<std::string, DetectorTensor, std::less<>> tensors;
  std::vector<std::string> class_names;  // by class id; empty when the file does not say
  std::string source;                    // file name, for messages
};

// Reads .safetensors, an Ultralytics .pt archive or .onnx export; decided by content, not by
// extension. Counters (`num_batches_tracked`) are left out. Errors: kNotFound, kIo, kInvalid
// (damaged, not weights, no tensor with such a name), kUnsupported (another container, or a pickle
// that would run code), kLimit (too large).
Result<DetectorWeights> read_detector_weights(const std::filesystem::path& path);

}  // namespace fastvlm
