// SPDX-License-Identifier: Apache-2.0
// What a Checkpoint holds, shared by the files that open it, check it and serve it. Internal to
// formats/.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "formats/checkpoint.h"

namespace fastvlm {

// A tensor where it is stored, and how to see it the canonical way.
struct StoredTensor {
  std::shared_ptr<const SafetensorsFile> file;
  std::string stored_name;
  TensorView view;
  std::vector<int64_t> shape;  // canonical: PyTorch's order, unpacked; rows in use
  bool channels_last = false;  // a convolution stored as [out, kH, kW, in]
  int bits = 0;                // of a quantised weight in the file, else 0
  int64_t group = 0;
  // Of quantised tensors; a shard boundary may run through the three parts.
  TensorView scales{};
  TensorView biases{};
  std::shared_ptr<const SafetensorsFile> scale_file{};
  std::shared_ptr<const SafetensorsFile> bias_file{};

  // "model.safetensors: tensor `model.norm.weight`"
  std::string described() const;
};

struct Checkpoint::State {
  std::filesystem::path folder;
  ModelConfig config;
  Layout layout = Layout::kLlava;
  std::vector<std::string> warnings;
  std::vector<std::filesystem::path> hashed_files;  // weights and config.json
  std::map<std::string, StoredTensor, std::less<>> tensors;

  const StoredTensor* find(std::string_view name) const;
};

// Resolves quantised triples into one tensor each: their logical shape and bits from the shapes of
// the parts, checked against config.json.
Status resolve_quantized(Checkpoint::State& state);

// Config and tensors against each other: the decoder's layers and widths, the head, the projector.
Status check_consistency(Checkpoint::State& state);

}  // namespace fastvlm
