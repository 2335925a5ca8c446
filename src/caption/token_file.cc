// SPDX-License-Identifier: Apache-2.0
#include "caption/token_file.h"

#include <span>
#include <vector>

#include "base/sha256.h"
#include "base/strings.h"
#include "formats/safetensors.h"

namespace fastvlm {
namespace {

constexpr const char* kTensor = "tokens";
constexpr const char* kDigest = "sha256";

}  // namespace

Status write_tokens(const std::filesystem::path& path, const Tokens& tokens) {
  const auto bytes = std::as_bytes(std::span(tokens.values));
  const TensorToWrite tensor{kTensor, DType::kF32, {tokens.count, tokens.width}, bytes};
  return write_safetensors(path, {&tensor, 1}, {{kDigest, sha256_hex(bytes)}});
}

Result<Tokens> read_tokens(const std::filesystem::path& path, int64_t count, int64_t width) {
  FASTVLM_ASSIGN(const SafetensorsFile file, SafetensorsFile::open(path));
  const std::vector<int64_t> shape{count, width};
  const TensorView* tensor = file.find(kTensor);
  const auto digest = file.metadata().find(kDigest);
  const bool whole = tensor != nullptr && tensor->dtype == DType::kF32 && tensor->shape == shape &&
                     digest != file.metadata().end() && digest->second == sha256_hex(tensor->bytes);
  if (!whole) {
    return error(Code::kInvalid,
                 cat(path.string(), ": expected tokens ", bracketed(shape), " and their digest"),
                 "remove the file; it is made again");
  }
  Tokens tokens{count, width, {}};
  FASTVLM_ASSIGN(tokens.values, to_floats(*tensor, kTensor));
  return tokens;
}

}  // namespace fastvlm
