// SPDX-License-Identifier: Apache-2.0
#include "hub/weights.h"

#include <cstring>

#include "base/mapped_file.h"
#include "formats/safetensors.h"

namespace fastvlm {
namespace {

Status check(const std::filesystem::path& path, const std::string& label) {
  const std::filesystem::path extension = path.extension();
  if (extension != ".safetensors" && extension != ".pt") return {};
  FASTVLM_ASSIGN(const MappedFile file, MappedFile::open(path));
  if (extension == ".safetensors") return parse_safetensors(file.bytes(), label).status();
  constexpr std::string_view kZip = "PK\x03\x04";  // PyTorch writes its files as zip archives
  if (file.bytes().size() > kZip.size() &&
      std::memcmp(file.bytes().data(), kZip.data(), kZip.size()) == 0)
    return {};
  return error(Code::kInvalid, cat(label, ": is not a PyTorch file"), "check the address");
}

}  // namespace

Status keep_weights(const std::filesystem::path& path, const std::string& label) {
  Status status = check(path, label);
  if (status.ok() || status.code == Code::kIo) return status;
  status.message += "; the file was not kept";
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  return status;
}

}  // namespace fastvlm
