// SPDX-License-Identifier: Apache-2.0
// Reading safetensors files: u64 little-endian header length, JSON header, raw little-endian data. The file is mapped and
// nothing of its header is trusted: every length, offset, dtype and shape is checked before a view is made.
// Non-goal: a tensor library; views are plain data.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/mapped_file.h"
#include "base/result.h"

namespace fastvlm {

enum class DType { kF32, kF16, kBF16, kF64, kI64, kI32, kI16, kI8, kU32, kU16, kU8, kBool };

std::string_view dtype_name(DType dtype);  // "F32", as in the header
size_t dtype_size(DType dtype);            // bytes

// A tensor inside a mapped file. `bytes` may have any alignment and lives as long as the file object.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  int64_t elements() const;
};

class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::map<std::string, TensorView, std::less<>>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const TensorView* find(std::string_view name) const;  // null when absent
  // Lets the pages behind a tensor go, once it has been packed.
  void release(const TensorView& tensor) const { file_.release(tensor.bytes); }

 private:
  SafetensorsFile(MappedFile file) : file_(std::move(file)) {}

  MappedFile file_;
  std::map<std::string, TensorView, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

// The elements as f32 (F32, F16, BF16; other types are an error that names `name`).
Result<std::vector<float>> to_floats(const TensorView& tensor, std::string_view name);

// Writes tensors to `path` atomically: a temporary file beside it, synced, then renamed. Tensors are laid out in the order
// given, data aligned to 64 bytes.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};
Status write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                         const std::map<std::string, std::string>& metadata = {});

}  // namespace fastvlm
