// SPDX-License-Identifier: Apache-2.0
#include "vision/tower_reader.h"

#include <functional>
#include <numeric>

#include "vision/tower_plan.h"

namespace fastvlm {
namespace {

constexpr std::string_view kPrefix = "vision.";
constexpr int64_t kMaxKernel = 7;

std::string full(const std::string& key) {
  return cat(kPrefix, key);
}

// Tensors of the file that the tower does not need: the classifier, and BatchNorm's step counters.
bool is_ignored(std::string_view name) {
  return name.starts_with("vision.head.") || name.ends_with(".num_batches_tracked");
}

}  // namespace

TowerReader::TowerReader(const Checkpoint& checkpoint, ThreadPool& pool, Arithmetic arithmetic)
    : checkpoint_(checkpoint), pool_(pool), arithmetic_(arithmetic) {
  for (std::string& name : checkpoint.names()) {
    if (name.starts_with(kPrefix)) names_.insert(std::move(name));
  }
}

bool TowerReader::has(const std::string& key) const {
  return names_.contains(full(key));
}

bool TowerReader::has_module(const std::string& key) const {
  const std::string prefix = full(key) + ".";
  const auto found = names_.lower_bound(prefix);
  return found != names_.end() && found->starts_with(prefix);
}

int64_t TowerReader::side(const std::string& key, size_t axis) const {
  const auto shape = checkpoint_.shape(full(key));
  return shape && axis < shape->size() ? (*shape)[axis] : 0;
}

std::string TowerReader::origin(const std::string& key) const {
  return checkpoint_.origin(full(key));
}

Result<std::vector<float>> TowerReader::floats(const std::string& key,
                                               const std::vector<int64_t>& shape) {
  used_.insert(full(key));
  FASTVLM_ASSIGN(std::vector<float> values, checkpoint_.floats(full(key), shape));
  checkpoint_.release(full(key));
  return values;
}

Result<std::vector<float>> TowerReader::per_channel(const std::string& key, int64_t channels) {
  const auto shape = checkpoint_.shape(full(key));
  if (shape && shape->size() == 3) return floats(key, {channels, 1, 1});
  return floats(key, {channels});
}

Result<Matrix> TowerReader::matrix(const std::string& key, int64_t outputs, int64_t inputs) {
  used_.insert(full(key));
  FASTVLM_ASSIGN(const MatrixSource source, checkpoint_.matrix(full(key), outputs, inputs));
  Matrix packed = Matrix::pack(source, pool_);
  checkpoint_.release(full(key));
  return packed;
}

Weights TowerReader::pack(const MatrixSource& source, Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kF32) return Matrix::pack(source, pool_);
  return DotMatrix::pack(source, arithmetic, pool_);
}

Result<Weights> TowerReader::weights(const std::string& key, int64_t outputs, int64_t inputs,
                                     Arithmetic arithmetic) {
  used_.insert(full(key));
  FASTVLM_ASSIGN(const MatrixSource source, checkpoint_.matrix(full(key), outputs, inputs));
  Weights packed = pack(source, arithmetic);
  checkpoint_.release(full(key));
  return packed;
}

Result<Linear> TowerReader::linear(const std::string& key, int64_t outputs, int64_t inputs,
                                   Arithmetic arithmetic) {
  Linear layer;
  FASTVLM_ASSIGN(layer.weights, weights(key + ".weight", outputs, inputs, arithmetic));
  FASTVLM_ASSIGN(layer.bias, floats(key + ".bias", {outputs}));
  return layer;
}

Result<ChannelAffine> TowerReader::batch_norm(const std::string& key, int64_t channels) {
  FASTVLM_ASSIGN(const auto gamma, floats(key + ".weight", {channels}));
  FASTVLM_ASSIGN(const auto beta, floats(key + ".bias", {channels}));
  FASTVLM_ASSIGN(const auto mean, floats(key + ".running_mean", {channels}));
  FASTVLM_ASSIGN(const auto var, floats(key + ".running_var", {channels}));
  for (size_t c = 0; c < var.size(); ++c) {
    if (double{var[c]} + kBatchNormEps > 0.0) continue;  // also false for a NaN
    return error(Code::kInvalid,
                 cat(origin(key + ".running_var"), ": expected variances of at least 0, found ",
                     var[c], " for channel ", c),
                 "the file is damaged or was converted wrongly; fetch it again");
  }
  return fold_statistics(gamma, beta, mean, var);
}

Result<FoldableConvolution> TowerReader::kernel(const std::string& key, int64_t outputs,
                                                int64_t inputs) {
  const int64_t side_length = side(key, 2);
  if (has(key) && (outputs < 1 || side_length > kMaxKernel || side_length % 2 == 0)) {
    return error(
        Code::kInvalid,
        cat(origin(key), ": expected a convolution of shape [", outputs, ", ", inputs,
            ", k, k] with k in 1, 3, 5, 7, found ", bracketed(*checkpoint_.shape(full(key)))),
        "this is not a tower of the FastViT family");
  }
  FASTVLM_ASSIGN(const auto weights, floats(key, {outputs, inputs, side_length, side_length}));
  return FoldableConvolution{outputs, inputs, side_length, to_f64(weights),
                             std::vector<double>(static_cast<size_t>(outputs), 0.0)};
}

Result<FoldableConvolution> TowerReader::convolution(const std::string& key, int64_t outputs,
                                                     int64_t inputs) {
  FASTVLM_ASSIGN(auto conv, kernel(key + ".weight", outputs, inputs));
  FASTVLM_ASSIGN(const auto bias, floats(key + ".bias", {outputs}));
  conv.bias = to_f64(bias);
  return conv;
}

Result<FoldableConvolution> TowerReader::normalised(const std::string& key, int64_t outputs,
                                                    int64_t inputs) {
  FASTVLM_ASSIGN(auto conv, kernel(key + ".conv.weight", outputs, inputs));
  FASTVLM_ASSIGN(const auto norm, batch_norm(key + ".bn", outputs));
  return followed_by(std::move(conv), norm);
}

Result<FoldableConvolution> TowerReader::branched(const std::string& key, int64_t outputs,
                                                  int64_t inputs) {
  if (!has(key + ".rbr_conv.0.conv.weight")) {
    return convolution(key + ".reparam_conv", outputs, inputs);
  }
  FASTVLM_ASSIGN(auto sum, normalised(key + ".rbr_conv.0", outputs, inputs));
  if (has_module(key + ".rbr_scale")) {
    FASTVLM_ASSIGN(const auto pointwise, normalised(key + ".rbr_scale", outputs, inputs));
    if (pointwise.kernel != 1) {
      return error(Code::kInvalid,
                   cat(origin(key + ".rbr_scale.conv.weight"), ": expected a 1x1 kernel, found ",
                       pointwise.kernel, "x", pointwise.kernel));
    }
    add_branch(sum, pointwise);
  }
  if (has_module(key + ".rbr_skip")) {
    FASTVLM_ASSIGN(const auto norm, batch_norm(key + ".rbr_skip", outputs));
    add_branch(sum, followed_by(identity_convolution(outputs, inputs, sum.kernel), norm));
  }
  return sum;
}

Result<Linear> TowerReader::branched_pointwise(const std::string& key, int64_t outputs,
                                               int64_t inputs) {
  const Arithmetic arithmetic = unskipped_arithmetic(arithmetic_);
  if (!has(key + ".rbr_conv.0.conv.weight")) {
    return linear(key + ".reparam_conv", outputs, inputs, arithmetic);
  }
  FASTVLM_ASSIGN(const auto conv, branched(key, outputs, inputs));
  if (conv.kernel != 1) {
    return error(Code::kInvalid,
                 cat(origin(key + ".rbr_conv.0.conv.weight"), ": expected a 1x1 kernel, found ",
                     conv.kernel, "x", conv.kernel));
  }
  const std::vector<float> folded = to_f32(conv.weights);
  const MatrixSource source{
      .type = WeightType::kF32, .rows = outputs, .cols = inputs, .data = folded.data()};
  return Linear{pack(source, arithmetic), to_f32(conv.bias)};
}

Result<DepthwiseConvolution> TowerReader::depthwise(const std::string& key,
                                                    const FoldableConvolution& conv,
                                                    int64_t channels_in, int stride) {
  if (conv.outputs % channels_in != 0) {
    return error(Code::kInvalid,
                 cat(checkpoint_.folder().string(), ": vision.", key, ": expected a multiple of ",
                     channels_in, " outputs, found ", conv.outputs),
                 "this is not a tower of the FastViT family");
  }
  return make_depthwise(to_f32(conv.weights), to_f32(conv.bias), static_cast<int>(conv.kernel),
                        stride, static_cast<int>(conv.outputs / channels_in));
}

Status TowerReader::finish() const {
  for (const std::string& name : names_) {
    if (!used_.contains(name) && !is_ignored(name)) {
      return error(
          Code::kUnsupported,
          cat(checkpoint_.origin(name), ": a tower of the FastViT family has no such tensor"),
          "check that the file holds one tower, in training or in inference form");
    }
  }
  return {};
}

int64_t TowerReader::parameters() const {
  int64_t sum = 0;
  for (const std::string& name : names_) {
    if (is_ignored(name) || name.ends_with(".running_mean") || name.ends_with(".running_var")) {
      continue;
    }
    const auto shape = checkpoint_.shape(name);
    sum += std::accumulate(shape->begin(), shape->end(), int64_t{1}, std::multiplies<>());
  }
  return sum;
}

}  // namespace fastvlm
