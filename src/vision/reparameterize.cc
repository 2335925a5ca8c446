// SPDX-License-Identifier: Apache-2.0
#include "vision/reparameterize.h"

#include <cassert>
#include <cmath>

namespace fastvlm {

ChannelAffine fold_statistics(const std::vector<float>& gamma, const std::vector<float>& beta,
                              const std::vector<float>& mean, const std::vector<float>& var) {
  ChannelAffine folded{std::vector<double>(gamma.size()), std::vector<double>(gamma.size())};
  for (size_t c = 0; c < gamma.size(); ++c) {
    folded.scale[c] = double{gamma[c]} / std::sqrt(double{var[c]} + kBatchNormEps);
    folded.shift[c] = double{beta[c]} - double{mean[c]} * folded.scale[c];
  }
  return folded;
}

FoldableConvolution identity_convolution(int64_t outputs, int64_t inputs, int64_t kernel) {
  FoldableConvolution conv{outputs, inputs, kernel, {}, {}};
  const int64_t taps = kernel * kernel;
  conv.weights.assign(static_cast<size_t>(outputs * inputs * taps), 0.0);
  conv.bias.assign(static_cast<size_t>(outputs), 0.0);
  for (int64_t o = 0; o < outputs; ++o) {
    conv.weights[static_cast<size_t>((o * inputs + o % inputs) * taps + taps / 2)] = 1.0;
  }
  return conv;
}

FoldableConvolution scaled(FoldableConvolution conv, const std::vector<double>& factor) {
  const size_t row = static_cast<size_t>(conv.inputs * conv.kernel * conv.kernel);
  for (size_t o = 0; o < static_cast<size_t>(conv.outputs); ++o) {
    for (size_t i = 0; i < row; ++i) conv.weights[o * row + i] *= factor[o];
    conv.bias[o] *= factor[o];
  }
  return conv;
}

FoldableConvolution followed_by(FoldableConvolution conv, const ChannelAffine& norm) {
  FoldableConvolution folded = scaled(std::move(conv), norm.scale);
  for (size_t o = 0; o < folded.bias.size(); ++o) folded.bias[o] += norm.shift[o];
  return folded;
}

void add_branch(FoldableConvolution& sum, const FoldableConvolution& branch) {
  assert(branch.kernel <= sum.kernel && branch.outputs == sum.outputs &&
         branch.inputs == sum.inputs);
  const int64_t margin = (sum.kernel - branch.kernel) / 2;
  for (int64_t plane = 0; plane < sum.outputs * sum.inputs; ++plane) {
    for (int64_t y = 0; y < branch.kernel; ++y) {
      for (int64_t x = 0; x < branch.kernel; ++x) {
        const int64_t to = (plane * sum.kernel + y + margin) * sum.kernel + x + margin;
        const int64_t from = (plane * branch.kernel + y) * branch.kernel + x;
        sum.weights[static_cast<size_t>(to)] += branch.weights[static_cast<size_t>(from)];
      }
    }
  }
  for (size_t o = 0; o < sum.bias.size(); ++o) sum.bias[o] += branch.bias[o];
}

std::vector<float> to_f32(const std::vector<double>& values) {
  std::vector<float> narrow(values.size());
  for (size_t i = 0; i < values.size(); ++i) narrow[i] = static_cast<float>(values[i]);
  return narrow;
}

std::vector<double> to_f64(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

}  // namespace fastvlm
