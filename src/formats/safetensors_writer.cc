// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>
#include <utility>

#include "base/strings.h"
#include "formats/safetensors.h"

namespace fastvlm {
namespace {

constexpr size_t kAlignment = 64;  // of the first tensor: a cache line

// Length and header, padded with spaces up to the data. Keys keep the order of the tensors.
std::string header_bytes(std::span<const TensorDeclaration> tensors,
                         const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t at = 0;
  for (const TensorDeclaration& tensor : tensors) {
    header.push_back({tensor.name,
                      {{"dtype", dtype_name(tensor.dtype)},
                       {"shape", tensor.shape},
                       {"data_offsets", {at, at + tensor.bytes()}}}});
    at += tensor.bytes();
  }
  std::string json = header.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  uint64_t length = json.size();
  while ((sizeof length + length) % kAlignment != 0) ++length;
  json.resize(length, ' ');
  std::string bytes(reinterpret_cast<const char*>(&length), sizeof length);
  return bytes + json;
}

}  // namespace

int64_t TensorDeclaration::bytes() const {
  auto bytes = static_cast<int64_t>(dtype_size(dtype));
  for (const int64_t dimension : shape) bytes *= dimension;
  return bytes;
}

Result<SafetensorsWriter> SafetensorsWriter::create(
    const std::filesystem::path& path, std::span<const TensorDeclaration> tensors,
    const std::map<std::string, std::string>& metadata) {
  int64_t bytes = 0;
  for (const TensorDeclaration& tensor : tensors) bytes += tensor.bytes();
  FASTVLM_ASSIGN(AtomicFile file, AtomicFile::create(path));
  const std::string header = header_bytes(tensors, metadata);
  FASTVLM_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(header))));
  return SafetensorsWriter(std::move(file), bytes);
}

Status SafetensorsWriter::append(std::span<const std::byte> bytes) {
  if (static_cast<int64_t>(bytes.size()) > missing_) {
    return error(Code::kUsage, cat(file_.path().string(), ": ", bytes.size(),
                                   " bytes appended where the declared tensors miss ", missing_));
  }
  missing_ -= static_cast<int64_t>(bytes.size());
  return file_.write(bytes);
}

Status SafetensorsWriter::finish() {
  if (missing_ != 0) {
    return error(Code::kUsage, cat(file_.path().string(), ": ", missing_,
                                   " bytes of the declared tensors missing"));
  }
  return file_.commit();
}

Status write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                         const std::map<std::string, std::string>& metadata) {
  std::vector<TensorDeclaration> declarations;
  declarations.reserve(tensors.size());
  for (const TensorToWrite& tensor : tensors) {
    declarations.push_back({tensor.name, tensor.dtype, tensor.shape});
    if (declarations.back().bytes() != static_cast<int64_t>(tensor.bytes.size())) {
      return error(Code::kUsage, cat(path.string(), ": tensor `", tensor.name,
                                     "`: ", tensor.bytes.size(), " bytes given for ",
                                     dtype_name(tensor.dtype), " ", bracketed(tensor.shape)));
    }
  }
  FASTVLM_ASSIGN(SafetensorsWriter writer, SafetensorsWriter::create(path, declarations, metadata));
  for (const TensorToWrite& tensor : tensors) {
    FASTVLM_RETURN_IF_ERROR(writer.append(tensor.bytes));
  }
  return writer.finish();
}

}  // namespace fastvlm
