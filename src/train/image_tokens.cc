// SPDX-License-Identifier: Apache-2.0
#include "train/image_tokens.h"

#include <algorithm>
#include <cmath>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "formats/safetensors.h"
#include "image/preprocess.h"

namespace fastvlm {
namespace {

constexpr const char* kTensor = "tokens";

}  // namespace

Result<ImageTokenCache> ImageTokenCache::open(std::shared_ptr<const Engine> engine,
                                              const std::filesystem::path& folder,
                                              const DecodeOptions& decode) {
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
  cache.engine_ = std::move(engine);
  return cache;
}

std::filesystem::path ImageTokenCache::file(const std::string& name) const {
  return folder_ / (name + ".safetensors");
}

Result<Tokens> ImageTokenCache::encode(const Image& image, ThreadPool& pool) const {
  const Preprocessing& preprocessing = engine_->preprocessing();
  const std::vector<float> pixels = to_floats(preprocess(image, preprocessing), preprocessing);
  FASTVLM_ASSIGN(const auto encoder, engine_->encoder(pool));
  FASTVLM_ASSIGN(const Tokens seen, encoder->tower.encode(pixels.data(), preprocessing.size,
                                                          preprocessing.size, pool));
  Tokens tokens = encoder->projector.project(seen, pool);
  const bool finite = std::all_of(tokens.values.begin(), tokens.values.end(),
                                  [](float value) { return std::isfinite(value); });
  if (finite) return tokens;
  return error(Code::kInvalid, "what the vision tower makes of the picture is not finite",
               "look the model over with `fastvlm doctor`");
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
  std::error_code failed;
  if (std::filesystem::exists(file(name), failed)) return name;
  FASTVLM_ASSIGN(const Image image, decode_image(bytes.bytes(), picture.string(), decode_));
  FASTVLM_ASSIGN(const Tokens tokens, encode(image, pool));
  const TensorToWrite tensor{
      kTensor, DType::kF32, {tokens.count, tokens.width}, std::as_bytes(std::span(tokens.values))};
  FASTVLM_RETURN_IF_ERROR(write_safetensors(file(name), {&tensor, 1}));
  encoded = true;
  return name;
}

Result<Tokens> ImageTokenCache::read(const std::string& name) const {
  FASTVLM_ASSIGN(const SafetensorsFile stored, SafetensorsFile::open(file(name)));
  const TensorView* tensor = stored.find(kTensor);
  const int64_t width = engine_->checkpoint().config().language.hidden_size;
  const std::vector<int64_t> shape{engine_->image_tokens(), width};
  if (tensor == nullptr || tensor->shape != shape) {
    return error(Code::kInvalid, cat(file(name).string(), ": expected tokens ", bracketed(shape)),
                 "remove the file; it is made again");
  }
  Tokens tokens{shape[0], shape[1], {}};
  FASTVLM_ASSIGN(tokens.values, to_floats(*tensor, kTensor));
  return tokens;
}

}  // namespace fastvlm
