// SPDX-License-Identifier: Apache-2.0
// Reading and writing safetensors files: u64 little-endian header length, JSON header, raw
// little-endian data. The file is mapped and nothing of its header is trusted: every length,
// offset, dtype and shape is checked before a view is made. Non-goal: a tensor library; views are
// plain data.
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
#include "formats/atomic_file.h"

namespace fastvlm {

enum class DType { kF32, kF16, kBF16, kF64, kI64, kI32, kI16, kI8, kU32, kU16, kU8, kBool };

std::string_view dtype_name(DType dtype);  // "F32", as in the header
size_t dtype_size(DType dtype);            // bytes

// A tensor inside a mapped file. `bytes` may have any alignment and lives as long as the file
// object.
struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;

  int64_t elements() const;
};

// What a header describes; the views point into the bytes that were parsed.
struct SafetensorsContents {
  std::map<std::string, TensorView, std::less<>> tensors;
  std::map<std::string, std::string> metadata;
};

// Parses a whole file held in memory; `label` names it in messages. The data must be covered
// exactly once by the tensors (no overlap, no hole), as the format demands.
Result<SafetensorsContents> parse_safetensors(std::span<const std::byte> file,
                                              std::string_view label);

class SafetensorsFile {
 public:
  static Result<SafetensorsFile> open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::map<std::string, TensorView, std::less<>>& tensors() const {
    return contents_.tensors;
  }
  const std::map<std::string, std::string>& metadata() const { return contents_.metadata; }
  const TensorView* find(std::string_view name) const;  // null when absent
  std::span<const std::byte> bytes() const { return file_.bytes(); }
  // Lets the pages behind some bytes of the file go, once they have been used.
  void release(std::span<const std::byte> bytes) const { file_.release(bytes); }
  void release(const TensorView& tensor) const { file_.release(tensor.bytes); }

 private:
  explicit SafetensorsFile(MappedFile file) : file_(std::move(file)) {}

  MappedFile file_;
  SafetensorsContents contents_;
};

// The elements as f32 (F32, F16, BF16; other types are an error that names `name`).
Result<std::vector<float>> to_floats(const TensorView& tensor, std::string_view name);

struct TensorDeclaration {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;

  int64_t bytes() const;
};

// Writes a file tensor by tensor, so that a checkpoint can be larger than memory: declare all
// tensors, append their bytes in that order in pieces of any size, finish. The file appears under
// its name at finish() and not before. Tensors follow each other without gaps, the first one at a
// multiple of 64 bytes.
class SafetensorsWriter {
 public:
  static Result<SafetensorsWriter> create(const std::filesystem::path& path,
                                          std::span<const TensorDeclaration> tensors,
                                          const std::map<std::string, std::string>& metadata = {});
  Status append(std::span<const std::byte> bytes);
  Status finish();

 private:
  SafetensorsWriter(AtomicFile file, int64_t bytes) : file_(std::move(file)), missing_(bytes) {}

  AtomicFile file_;
  int64_t missing_;  // bytes still to append
};

// Writes tensors that are in memory, in the order given.
struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;
};
Status write_safetensors(const std::filesystem::path& path, std::span<const TensorToWrite> tensors,
                         const std::map<std::string, std::string>& metadata = {});

}  // namespace fastvlm
