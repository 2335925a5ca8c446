// SPDX-License-Identifier: Apache-2.0
// The projector's numbers as plain f32 in one array: what training changes, an adapter carries and
// merging writes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/checkpoint.h"

namespace fastvlm {

// Linear(inputs -> hidden), GELU, Linear(hidden -> hidden). Weights come before biases, so that an
// optimiser can tell them apart by a number.
struct ProjectorShape {
  int64_t inputs = 0;  // width of the tower's tokens
  int64_t hidden = 0;  // width of the language model

  int64_t first_weight() const { return 0; }                 // [hidden, inputs]
  int64_t second_weight() const { return hidden * inputs; }  // [hidden, hidden]
  int64_t first_bias() const { return weights(); }           // [hidden]
  int64_t second_bias() const { return weights() + hidden; }
  int64_t weights() const { return hidden * (inputs + hidden); }
  int64_t size() const { return weights() + 2 * hidden; }

  struct Tensor {
    std::string name;  // "0.weight", "0.bias", "2.weight", "2.bias"
    std::vector<int64_t> shape;
    int64_t offset = 0;

    int64_t size() const { return shape.size() == 2 ? shape[0] * shape[1] : shape[0]; }
  };
  std::vector<Tensor> tensors() const;

  bool operator==(const ProjectorShape&) const = default;
};

struct ProjectorWeights {
  ProjectorShape shape;
  std::vector<float> values;  // [shape.size()]
};

// The projector of a checkpoint, converted and dequantised. kNotFound where it has none.
Result<ProjectorWeights> read_projector(const Checkpoint& checkpoint);

// The way from `base` to `tuned`: (1 - strength) base + strength tuned; `tuned` itself at 1.
// kInvalid when the shapes differ.
Result<ProjectorWeights> blend(const ProjectorWeights& base, const ProjectorWeights& tuned,
                               float strength);

}  // namespace fastvlm
