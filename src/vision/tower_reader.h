// SPDX-License-Identifier: Apache-2.0
// Building blocks of a tower, read from a checkpoint in either form. Keys are those of
// docs/MODEL.md section 1 without the prefix "vision."; errors name file, tensor, expected and
// found.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "vision/modules.h"
#include "vision/reparameterize.h"

namespace fastvlm {

class TowerReader {
 public:
  TowerReader(const Checkpoint& checkpoint, ThreadPool& pool, Arithmetic arithmetic);

  ThreadPool& pool() { return pool_; }
  Arithmetic arithmetic() const { return arithmetic_; }  // that the tower is loaded for

  bool has(const std::string& key) const;                   // a tensor of this name
  bool has_module(const std::string& key) const;            // any tensor under "<key>."
  int64_t side(const std::string& key, size_t axis) const;  // of a tensor's shape, 0 when absent
  std::string origin(const std::string& key) const;  // "model.safetensors: ...", for messages

  // One value a channel, stored as [channels] or [channels, 1, 1].
  Result<std::vector<float>> per_channel(const std::string& key, int64_t channels);
  Result<Matrix> matrix(const std::string& key, int64_t outputs, int64_t inputs);
  Result<Weights> weights(const std::string& key, int64_t outputs, int64_t inputs,
                          Arithmetic arithmetic);
  // <key>.weight and <key>.bias.
  Result<Linear> linear(const std::string& key, int64_t outputs, int64_t inputs,
                        Arithmetic arithmetic);
  Result<ChannelAffine> batch_norm(const std::string& key, int64_t channels);

  // <key>.weight [outputs, inputs, k, k], k odd and at most 7, and <key>.bias.
  Result<FoldableConvolution> convolution(const std::string& key, int64_t outputs, int64_t inputs);
  // <key>.conv.weight, without bias, followed by the BatchNorm <key>.bn.
  Result<FoldableConvolution> normalised(const std::string& key, int64_t outputs, int64_t inputs);
  // A convolution of parallel branches: <key>.reparam_conv, or rbr_conv.0 with what there is of
  // rbr_scale and rbr_skip.
  Result<FoldableConvolution> branched(const std::string& key, int64_t outputs, int64_t inputs);
  // The same with a 1x1 kernel, at bf16 in an int8 tower. Stored in inference form it stays as
  // narrow as it is.
  Result<Linear> branched_pointwise(const std::string& key, int64_t outputs, int64_t inputs);

  // Packs a folded convolution of one input an output; `key` is for messages.
  Result<DepthwiseConvolution> depthwise(const std::string& key, const FoldableConvolution& conv,
                                         int64_t channels_in, int stride);

  // An error when the checkpoint's tower has tensors that nobody asked for: they would change the
  // result, so this is not a tower we know.
  Status finish() const;
  // Elements of the tower as stored, without head and running statistics.
  int64_t parameters() const;

 private:
  Result<std::vector<float>> floats(const std::string& key, const std::vector<int64_t>& shape);
  Weights pack(const MatrixSource& source, Arithmetic arithmetic);
  Result<FoldableConvolution> kernel(const std::string& key, int64_t outputs, int64_t inputs);

  const Checkpoint& checkpoint_;
  ThreadPool& pool_;
  Arithmetic arithmetic_;
  std::set<std::string, std::less<>> names_;  // all vision.* of the checkpoint
  std::set<std::string, std::less<>> used_;
};

// The whole tower.
Result<TowerModules> read_tower(const Checkpoint& checkpoint, ThreadPool& pool,
                                Arithmetic arithmetic);

}  // namespace fastvlm
