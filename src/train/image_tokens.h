// SPDX-License-Identifier: Apache-2.0
// The frozen tower sees each picture once: its tokens, projected unless the projector is to learn,
// are kept in a folder, one file a picture, named by a digest of the picture's bytes and of
// everything that makes tokens of them (weights, preprocessing, precision, projected or not). Runs
// may share a folder; what does not fit is not found.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/thread_pool.h"
#include "caption/engine.h"
#include "image/decode.h"

namespace fastvlm {

enum class TokenStage { kProjected, kTower };

class ImageTokenCache {
 public:
  // Makes the folder where it is missing. Reads the model's files once, for their digest.
  static Result<ImageTokenCache> open(std::shared_ptr<const Engine> engine,
                                      const std::filesystem::path& folder,
                                      const DecodeOptions& decode = {},
                                      TokenStage stage = TokenStage::kProjected);

  // The name under which a picture's tokens are kept; encodes and keeps them if they are not there,
  // or damaged.
  // `encoded` becomes whether that was needed. Errors: the picture cannot be read.
  Result<std::string> keep(const std::filesystem::path& picture, ThreadPool& pool, bool& encoded);
  TokenStage stage() const { return stage_; }
  // What keep() kept.
  Result<Tokens> read(const std::string& name) const;

 private:
  ImageTokenCache() = default;
  std::filesystem::path file(const std::string& name) const;

  std::shared_ptr<const Engine> engine_;
  std::filesystem::path folder_;
  DecodeOptions decode_;
  TokenStage stage_ = TokenStage::kProjected;
  int64_t width_ = 0;  // of a token
  std::string model_;  // what makes tokens, besides the picture
};

}  // namespace fastvlm
