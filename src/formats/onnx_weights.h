// SPDX-License-Identifier: Apache-2.0
// Weights out of an ONNX export of a detector. Goals: the initialisers under the names that they
// had in PyTorch, and the class names of the metadata. Non-goals: the graph itself, other exports
// than Ultralytics' (a dynamic or static detector without NMS inside), quantised graphs. The
// messages are those of onnx.proto (ONNX 1.x, IR version 3 and later). Internal to formats/.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "base/result.h"
#include "formats/detector_weights.h"

namespace fastvlm {

// Whether the bytes begin as a ModelProto does (its ir_version comes first).
bool is_onnx_model(std::string_view beginning);

// A whole file held in memory; `label` names it in messages. Tensors are found by their own names
// ("model.0.conv.weight"); where an optimiser of graphs has renamed them, by the name of the
// convolution that uses them ("/model.0/conv/Conv"). Everything else in the file is left out.
// Errors: kInvalid (damaged), kUnsupported (tensors in another file, or of another type).
Result<DetectorWeights> parse_onnx_weights(std::span<const std::byte> file, std::string_view label);

}  // namespace fastvlm
