// SPDX-License-Identifier: Apache-2.0
// Folding of the training form (parallel branches, each with a BatchNorm) into the inference form
// (one convolution), docs/MODEL.md section 1.4. All arithmetic is double; f32 comes at the end.
// Plain functions over plain data: where the tensors come from is tower_reader.h's matter.
#pragma once

#include <cstdint>
#include <vector>

namespace fastvlm {

// A convolution on its way to being folded. Output o of a group reads `inputs` channels; a
// depthwise convolution has inputs == 1, a dense one as many as there are.
struct FoldableConvolution {
  int64_t outputs = 0;
  int64_t inputs = 0;           // per group
  int64_t kernel = 0;           // side, odd
  std::vector<double> weights;  // [outputs, inputs, kernel, kernel]
  std::vector<double> bias;     // [outputs]
};

// A BatchNorm with its statistics folded in: y = scale * x + shift, per channel.
struct ChannelAffine {
  std::vector<double> scale;
  std::vector<double> shift;
};

inline constexpr double kBatchNormEps = 1e-5;

// scale = gamma / sqrt(var + eps), shift = beta - mean * scale. Requires var + eps > 0.
ChannelAffine fold_statistics(const std::vector<float>& gamma, const std::vector<float>& beta,
                              const std::vector<float>& mean, const std::vector<float>& var);

// The convolution that returns its input: 1 at the kernel's centre, where output o of a group meets
// its own input. Requires as many channels in as out.
FoldableConvolution identity_convolution(int64_t outputs, int64_t inputs, int64_t kernel);

// conv followed by norm.
FoldableConvolution followed_by(FoldableConvolution conv, const ChannelAffine& norm);

// conv with each output multiplied by its factor (a layer scale; -1 for all subtracts).
FoldableConvolution scaled(FoldableConvolution conv, const std::vector<double>& factor);

// sum += branch. A smaller kernel is centred in the larger one; requires branch.kernel <=
// sum.kernel and equal channels.
void add_branch(FoldableConvolution& sum, const FoldableConvolution& branch);

std::vector<float> to_f32(const std::vector<double>& values);
std::vector<double> to_f64(const std::vector<float>& values);

}  // namespace fastvlm
