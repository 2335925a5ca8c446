// SPDX-License-Identifier: Apache-2.0
#include "formats/projector_weights.h"

#include <algorithm>

#include "base/strings.h"

namespace fastvlm {

std::vector<ProjectorShape::Tensor> ProjectorShape::tensors() const {
  return {{"0.weight", {hidden, inputs}, first_weight()},
          {"0.bias", {hidden}, first_bias()},
          {"2.weight", {hidden, hidden}, second_weight()},
          {"2.bias", {hidden}, second_bias()}};
}

Result<ProjectorWeights> read_projector(const Checkpoint& checkpoint) {
  const auto first = checkpoint.shape("projector.0.weight");
  if (!first || first->size() != 2) {
    return error(Code::kNotFound,
                 cat(checkpoint.folder().string(), ": no projector (projector.0.weight)"),
                 "give the folder of a FastVLM checkpoint");
  }
  ProjectorWeights projector{{(*first)[1], (*first)[0]}, {}};
  projector.values.resize(static_cast<size_t>(projector.shape.size()));
  for (const ProjectorShape::Tensor& tensor : projector.shape.tensors()) {
    const std::string name = cat("projector.", tensor.name);
    FASTVLM_ASSIGN(const std::vector<float> values, checkpoint.floats(name, tensor.shape));
    std::copy(values.begin(), values.end(), projector.values.begin() + tensor.offset);
    checkpoint.release(name);
  }
  return projector;
}

Result<ProjectorWeights> blend(const ProjectorWeights& base, const ProjectorWeights& tuned,
                               float strength) {
  if (base.shape != tuned.shape) {
    return error(
        Code::kInvalid,
        cat("adapter: expected a projector of ", base.shape.hidden, " x ", base.shape.inputs,
            " as the model has, found ", tuned.shape.hidden, " x ", tuned.shape.inputs),
        "take the model that the adapter was trained on");
  }
  ProjectorWeights result{base.shape, tuned.values};
  if (strength == 1) return result;
  for (size_t i = 0; i < result.values.size(); ++i) {
    result.values[i] = (1 - strength) * base.values[i] + strength * tuned.values[i];
  }
  return result;
}

}  // namespace fastvlm
