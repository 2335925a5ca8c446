// SPDX-License-Identifier: Apache-2.0
// A checkpoint folder under one set of names, whatever layout it has: Apple's LLaVA-Qwen2, Hugging
// Face FastVlm, MLX 4- and 8-bit exports (Apple's patch, mlx-vlm), plain Qwen2. The layout is
// recognised from names and shapes (docs/FORMATS.md). Canonical names:
//   vision.<key>    <key> as in docs/MODEL.md section 1, e.g.
//                   vision.network.0.0.token_mixer.reparam_conv.weight
//   projector.{0,2}.{weight,bias}
//   model.embed_tokens.weight, model.layers.<n>.…, model.norm.weight, lm_head.weight (Qwen2's own)
// Convolution weights come in PyTorch's order and layer scales as [C, 1, 1] whatever the file's.
// A head that a tied configuration ignores and counters of BatchNorm are left out.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/config.h"
#include "formats/safetensors.h"
#include "formats/tensor_names.h"
#include "kernels/matrix.h"

namespace fastvlm {

struct CheckpointOptions {
  // A tower from its own file or folder: Apple, Hugging Face or MobileCLIP names, training or
  // inference form. Wins over a tower in the checkpoint. Without it, a file
  // vision_tower.safetensors in the folder is used when the checkpoint has no tower.
  std::optional<std::filesystem::path> vision_tower;
};

class Checkpoint {
 public:
  // Maps the files and checks config.json and tensors against each other: a decoder whose tensors
  // are all there with the configured shapes; a projector that fits it and the tower. What is
  // inside the tower is checked by whoever builds it.
  static Result<Checkpoint> open(const std::filesystem::path& folder,
                                 const CheckpointOptions& options = {});

  const std::filesystem::path& folder() const;
  const ModelConfig& config() const;
  Layout layout() const;
  bool has_vision() const;
  bool has_projector() const;
  bool has_language() const;
  // Things that are odd but not fatal (a stored head that a tied config ignores, ...), one line
  // each.
  const std::vector<std::string>& warnings() const;

  // All canonical names, sorted.
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const;
  // The shape in PyTorch's order; the logical one for quantised matrices. Empty optional when
  // absent.
  std::optional<std::vector<int64_t>> shape(std::string_view name) const;
  // "model.safetensors: language_model.model.norm.weight", for messages.
  std::string origin(std::string_view name) const;

  // A matrix [rows, cols] (1x1 convolutions count), borrowed from the mapped file; 2, 3 and 6 bits
  // are put into 4 and 8, where they are the same numbers. Quantised when
  // `<name minus .weight>.scales` is there. Wrong shape or dtype, or absence, is an error that
  // names file, tensor, expected and found.
  Result<MatrixSource> matrix(std::string_view name, int64_t rows, int64_t cols) const;
  // Any tensor as f32, converted and dequantised; the shape must match exactly (empty = any).
  Result<std::vector<float>> floats(std::string_view name,
                                    const std::vector<int64_t>& shape = {}) const;
  // Bytes of a tensor as matrix() gives it, scales and biases included; 0 when absent.
  int64_t stored_bytes(std::string_view name) const;
  // Lets the file's pages of a tensor go, once it has been packed.
  void release(std::string_view name) const;

  // SHA-256 over names and bytes of the weight files and config.json, for provenance. Reads
  // everything; computed on demand.
  Result<std::string> content_hash() const;

  struct State;  // known inside formats/ only

 private:
  explicit Checkpoint(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace fastvlm
