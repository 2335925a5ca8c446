// SPDX-License-Identifier: Apache-2.0
#include "vision/projector.h"

#include <cassert>
#include <string>

#include "kernels/matmul.h"

namespace fastvlm {
namespace {

Result<Matrix> pack_matrix(const Checkpoint& checkpoint, const std::string& name, int64_t rows,
                           int64_t cols, ThreadPool& pool) {
  FASTVLM_ASSIGN(const MatrixSource source, checkpoint.matrix(name, rows, cols));
  Matrix packed = Matrix::pack(source, pool);
  checkpoint.release(name);
  return packed;
}

}  // namespace

Result<Projector> Projector::load(const Checkpoint& checkpoint, ThreadPool& pool) {
  const auto first = checkpoint.shape("projector.0.weight");
  const auto second = checkpoint.shape("projector.2.weight");
  if (!first || !second) {
    return error(Code::kNotFound,
                 cat(checkpoint.folder().string(),
                     ": no projector (projector.0.weight, projector.2.weight)"),
                 "use a FastVLM checkpoint whose mm_projector_type is mlp2x_gelu");
  }
  // A wrong rank becomes a shape that matrix() refuses by name.
  const auto side = [](const std::vector<int64_t>& shape, size_t i) {
    return i < shape.size() ? shape[i] : int64_t{1};
  };
  const int64_t hidden = side(*first, 0);
  const int64_t outputs = side(*second, 0);
  Projector projector;
  FASTVLM_ASSIGN(projector.fc1_,
                 pack_matrix(checkpoint, "projector.0.weight", hidden, side(*first, 1), pool));
  FASTVLM_ASSIGN(projector.fc2_,
                 pack_matrix(checkpoint, "projector.2.weight", outputs, hidden, pool));
  FASTVLM_ASSIGN(projector.fc1_bias_, checkpoint.floats("projector.0.bias", {hidden}));
  FASTVLM_ASSIGN(projector.fc2_bias_, checkpoint.floats("projector.2.bias", {outputs}));
  return projector;
}

Projector Projector::pack(const ProjectorWeights& weights, ThreadPool& pool) {
  const ProjectorShape& shape = weights.shape;
  const float* const values = weights.values.data();
  const auto packed = [&](int64_t offset, int64_t cols) {
    return Matrix::pack(
        {.type = WeightType::kF32, .rows = shape.hidden, .cols = cols, .data = values + offset},
        pool);
  };
  const auto bias = [&](int64_t offset) {
    return std::vector<float>(values + offset, values + offset + shape.hidden);
  };
  Projector projector;
  projector.fc1_ = packed(shape.first_weight(), shape.inputs);
  projector.fc2_ = packed(shape.second_weight(), shape.hidden);
  projector.fc1_bias_ = bias(shape.first_bias());
  projector.fc2_bias_ = bias(shape.second_bias());
  return projector;
}

Tokens Projector::project(const Tokens& tokens, ThreadPool& pool) const {
  assert(tokens.width == input_width());
  Tokens projected{tokens.count, output_width(), {}};
  projected.values.resize(static_cast<size_t>(projected.count * projected.width));
  mlp(pool, tokens.values.data(), tokens.count, tokens.width, fc1_, fc1_bias_.data(), fc2_,
      projected.values.data(), projected.width, {.bias = fc2_bias_.data()});
  return projected;
}

}  // namespace fastvlm
