// SPDX-License-Identifier: Apache-2.0
#include "train/image_tokens.h"

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "caption/token_file.h"
#include "image/preprocess.h"

namespace fastvlm {

Result<ImageTokenCache> ImageTokenCache::open(std::shared_ptr<const Engine> engine,
                                              const std::filesystem::path& folder,
                                              const DecodeOptions& decode, TokenStage stage) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) {
    return error(Code::kIo, cat(folder.string(), ": cannot be made: ", failed.message()),
                 "give another folder with --image-cache");
  }
  FASTVLM_ASSIGN(const ModelIdentity identity, engine->identity());
  const Preprocessing& preprocessing = engine->preprocessing();
  ImageTokenCache cache;
  cache.folder_ = folder;
  cache.decode_ = decode;
  cache.model_ =
      cat(identity.sha256, "\n", preprocessing.size, " ", static_cast<int>(preprocessing.aspect),
          " ", bracketed(preprocessing.mean), bracketed(preprocessing.std), " ", decode.apply_exif,
          " ", static_cast<int>(engine->precision().vision));
  const Checkpoint& checkpoint = engine->checkpoint();
  cache.stage_ = stage;
  cache.width_ = checkpoint.config().language.hidden_size;
  if (stage == TokenStage::kTower) {
    cache.width_ = checkpoint.shape("projector.0.weight")->back();
    cache.model_ += " tower";
  }
  cache.engine_ = std::move(engine);
  return cache;
}

std::filesystem::path ImageTokenCache::file(const std::string& name) const {
  return folder_ / (name + ".safetensors");
}

Result<std::string> ImageTokenCache::keep(const std::filesystem::path& picture, ThreadPool& pool,
                                          bool& encoded) {
  encoded = false;
  FASTVLM_ASSIGN(const MappedFile bytes, MappedFile::open(picture));
  Sha256 digest;
  digest.update(model_);
  digest.update("\n");
  digest.update(bytes.bytes());
  const std::string name = digest.finish();
  if (read(name).ok()) return name;
  FASTVLM_ASSIGN(const Image image, decode_image(bytes.bytes(), picture.string(), decode_));
  Timings ignored;
  const Image pixels = preprocess(image, engine_->preprocessing());
  FASTVLM_ASSIGN(const Tokens tokens, stage_ == TokenStage::kTower
                                          ? engine_->see_unprojected(pixels, pool, ignored)
                                          : engine_->see(pixels, pool, ignored));
  FASTVLM_RETURN_IF_ERROR(write_tokens(file(name), tokens));
  encoded = true;
  return name;
}

Result<Tokens> ImageTokenCache::read(const std::string& name) const {
  return read_tokens(file(name), engine_->image_tokens(), width_);
}

}  // namespace fastvlm
