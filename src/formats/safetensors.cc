// SPDX-License-Identifier: Apache-2.0
#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "base/strings.h"
#include "formats/hints.h"
#include "formats/safetensors_header.h"
#include "kernels/half.h"

namespace fastvlm {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

constexpr uint64_t kHeaderLimit = 100'000'000;  // bytes; the limit of the reference implementation

struct DTypeFacts {
  DType dtype;
  std::string_view name;
  size_t size;
};

constexpr std::array<DTypeFacts, 12> kDTypes = {{{DType::kF32, "F32", 4},
                                                 {DType::kF16, "F16", 2},
                                                 {DType::kBF16, "BF16", 2},
                                                 {DType::kF64, "F64", 8},
                                                 {DType::kI64, "I64", 8},
                                                 {DType::kI32, "I32", 4},
                                                 {DType::kI16, "I16", 2},
                                                 {DType::kI8, "I8", 1},
                                                 {DType::kU32, "U32", 4},
                                                 {DType::kU16, "U16", 2},
                                                 {DType::kU8, "U8", 1},
                                                 {DType::kBool, "BOOL", 1}}};

const DTypeFacts& facts(DType dtype) {
  return kDTypes[static_cast<size_t>(dtype)];
}

bool begins_with(std::span<const std::byte> bytes, std::string_view prefix) {
  return bytes.size() >= prefix.size() &&
         std::memcmp(bytes.data(), prefix.data(), prefix.size()) == 0;
}

// The usual things that stand where weights should be.
Status check_impostor(std::span<const std::byte> file, std::string_view label) {
  if (file.empty()) return error(Code::kInvalid, cat(label, ": is empty"), kDownloadAgain);
  if (begins_with(file, "version https://git-lfs")) {
    return error(Code::kInvalid,
                 cat(label, ": is a Git LFS pointer of ", file.size(), " bytes, not the weights"),
                 "run `git lfs pull` in that folder, or download the file itself");
  }
  if (begins_with(file, "<!DOCTYPE") || begins_with(file, "<!doctype") ||
      begins_with(file, "<html")) {
    return error(Code::kInvalid, cat(label, ": is a web page, not the weights"),
                 "download the file itself; the address may need a login");
  }
  if (begins_with(file, "PK\x03\x04")) {
    return error(Code::kUnsupported,
                 cat(label, ": is a zip archive (a PyTorch file?), not safetensors"),
                 "convert the checkpoint to safetensors");
  }
  return {};
}

// Bytes of a tensor, or nothing when a dimension is negative or the product overflows.
std::optional<uint64_t> checked_bytes(DType dtype, const std::vector<int64_t>& shape) {
  uint64_t bytes = dtype_size(dtype);
  for (const int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dimension), &bytes)) {
      return std::nullopt;
    }
  }
  if (bytes > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return bytes;
}

struct Extent {
  uint64_t begin;
  uint64_t end;
  const std::string* name;
};

Result<TensorView> make_view(const HeaderEntry& entry, std::span<const std::byte> data,
                             std::string_view where) {
  const auto known = std::find_if(kDTypes.begin(), kDTypes.end(),
                                  [&](const DTypeFacts& f) { return f.name == entry.dtype; });
  if (known == kDTypes.end()) {
    return error(Code::kUnsupported,
                 cat(where, ": dtype `", entry.dtype,
                     "` is not one of F32, F16, BF16, F64, I64, I32, I16, I8, U32, U16, U8, BOOL"),
                 "convert the tensor to one of these");
  }
  TensorView view{known->dtype, entry.shape, {}};
  const auto bytes = checked_bytes(view.dtype, view.shape);
  if (!bytes) {
    return error(Code::kInvalid, cat(where, ": impossible shape ", bracketed(view.shape)),
                 kDownloadAgain);
  }
  if (entry.begin > entry.end || entry.end - entry.begin != *bytes) {
    return error(Code::kInvalid,
                 cat(where, ": ", entry.dtype, " ", bracketed(view.shape), " takes ", *bytes,
                     " bytes, data_offsets say ", entry.begin, " .. ", entry.end),
                 kDownloadAgain);
  }
  if (entry.end > data.size()) {
    return error(Code::kInvalid,
                 cat(where, ": ends at byte ", entry.end, " of the data, the file has ",
                     data.size(), ": it is truncated"),
                 kDownloadAgain);
  }
  view.bytes = data.subspan(entry.begin, *bytes);
  return view;
}

// The tensors must follow each other from the first byte of the data to the last.
Status check_coverage(std::vector<Extent> extents, uint64_t data_bytes, std::string_view label) {
  std::sort(extents.begin(), extents.end(), [](const Extent& a, const Extent& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const Extent& extent : extents) {
    if (extent.begin != at) {
      return error(Code::kInvalid,
                   cat(label, ": tensor `", *extent.name, "` begins at byte ", extent.begin,
                       " of the data, expected ", at,
                       extent.begin < at ? " (tensors overlap)" : " (a hole in the data)"),
                   kDownloadAgain);
    }
    at = extent.end;
  }
  if (at != data_bytes) {
    return error(
        Code::kInvalid,
        cat(label, ": the header describes ", at, " bytes of data, the file has ", data_bytes),
        kDownloadAgain);
  }
  return {};
}

template <typename Convert>
void convert_16(std::span<const std::byte> bytes, std::vector<float>& out, Convert convert) {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = convert(load_unaligned<uint16_t>(bytes.data(), static_cast<int64_t>(i)));
  }
}

}  // namespace

std::string_view dtype_name(DType dtype) {
  return facts(dtype).name;
}
size_t dtype_size(DType dtype) {
  return facts(dtype).size;
}

int64_t TensorView::elements() const {
  return static_cast<int64_t>(bytes.size() / dtype_size(dtype));
}

Result<SafetensorsContents> parse_safetensors(std::span<const std::byte> file,
                                              std::string_view label) {
  FASTVLM_RETURN_IF_ERROR(check_impostor(file, label));
  uint64_t header_bytes = 0;
  if (file.size() < sizeof header_bytes) {
    return error(Code::kInvalid,
                 cat(label, ": has ", file.size(), " bytes, too few for a safetensors file"),
                 kDownloadAgain);
  }
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  const auto rest = file.subspan(sizeof header_bytes);
  if (header_bytes > kHeaderLimit) {
    return error(Code::kInvalid,
                 cat(label, ": is not a safetensors file (header length ", header_bytes,
                     ", at most ", kHeaderLimit, ")"),
                 "check that this is the right file");
  }
  if (header_bytes > rest.size()) {
    return error(Code::kInvalid,
                 cat(label, ": is truncated: its header has ", header_bytes, " bytes, the file ",
                     rest.size(), " after the length"),
                 kDownloadAgain);
  }
  FASTVLM_ASSIGN(const SafetensorsHeader header,
                 parse_safetensors_header(text_of(rest.first(header_bytes)), label));
  const auto data = rest.subspan(header_bytes);
  SafetensorsContents contents;
  contents.metadata = header.metadata;
  std::vector<Extent> extents;
  for (const auto& [name, entry] : header.tensors) {
    FASTVLM_ASSIGN(TensorView view, make_view(entry, data, cat(label, ": tensor `", name, "`")));
    extents.push_back({entry.begin, entry.end, &name});
    contents.tensors.emplace(name, std::move(view));
  }
  FASTVLM_RETURN_IF_ERROR(check_coverage(std::move(extents), data.size(), label));
  return contents;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(MappedFile mapped, MappedFile::open(path));
  SafetensorsFile file(std::move(mapped));
  FASTVLM_ASSIGN(file.contents_, parse_safetensors(file.file_.bytes(), path.string()));
  return file;
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto found = contents_.tensors.find(name);
  return found == contents_.tensors.end() ? nullptr : &found->second;
}

Result<std::vector<float>> to_floats(const TensorView& tensor, std::string_view name) {
  if (tensor.dtype != DType::kF32 && tensor.dtype != DType::kF16 && tensor.dtype != DType::kBF16) {
    return error(Code::kInvalid,
                 cat(name, ": expected F32, F16 or BF16, found ", dtype_name(tensor.dtype)),
                 "check that this is the right file");
  }
  std::vector<float> out(static_cast<size_t>(tensor.elements()));
  if (tensor.dtype == DType::kF16) {
    convert_16(tensor.bytes, out, f16_to_f32);
  } else if (tensor.dtype == DType::kBF16) {
    convert_16(tensor.bytes, out, bf16_to_f32);
  } else if (!out.empty()) {
    std::memcpy(out.data(), tensor.bytes.data(), tensor.bytes.size());
  }
  return out;
}

}  // namespace fastvlm
