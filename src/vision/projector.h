// SPDX-License-Identifier: Apache-2.0
// The bridge from the tower's tokens to the language model's embeddings: linear, GELU, linear
// (docs/MODEL.md section 2).
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "formats/projector_weights.h"
#include "kernels/matrix.h"
#include "vision/tokens.h"

namespace fastvlm {

class Projector {
 public:
  // Packs projector.{0,2} of `checkpoint`, full precision or quantised.
  static Result<Projector> load(const Checkpoint& checkpoint, ThreadPool& pool);

  // Packs other weights, at f32.
  static Projector pack(const ProjectorWeights& weights, ThreadPool& pool);

  int64_t input_width() const { return fc1_.cols(); }
  int64_t output_width() const { return fc2_.rows(); }

  // [count, input_width] -> [count, output_width]. Requires tokens.width == input_width(); whoever
  // pairs a tower with a projector compares the two once, at load.
  Tokens project(const Tokens& tokens, ThreadPool& pool) const;

 private:
  Matrix fc1_;
  Matrix fc2_;
  std::vector<float> fc1_bias_;
  std::vector<float> fc2_bias_;
};

}  // namespace fastvlm
