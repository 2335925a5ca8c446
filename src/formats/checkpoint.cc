// SPDX-License-Identifier: Apache-2.0
// Serving the tensors of an opened checkpoint.
#include "formats/checkpoint.h"

#include <algorithm>
#include <utility>

#include "base/sha256.h"
#include "base/strings.h"
#include "formats/affine.h"
#include "formats/checkpoint_state.h"
#include "formats/hints.h"

namespace fastvlm {
namespace {

Status wrong_shape(const StoredTensor& tensor, const std::vector<int64_t>& expected) {
  return error(Code::kInvalid,
               cat(tensor.described(), ": expected shape ", bracketed(expected), ", found ",
                   bracketed(tensor.shape)),
               kSameCheckpoint);
}

Result<WeightType> float_type(const StoredTensor& tensor, const TensorView& view) {
  switch (view.dtype) {
    case DType::kF32:
      return WeightType::kF32;
    case DType::kF16:
      return WeightType::kF16;
    case DType::kBF16:
      return WeightType::kBF16;
    default:
      return error(
          Code::kInvalid,
          cat(tensor.described(), ": expected F32, F16 or BF16, found ", dtype_name(view.dtype)),
          "convert the checkpoint to one of these types");
  }
}

// Kernels know 4 and 8 bits; a narrower level is the same number in a wider place.
int wide_bits(int bits) {
  return bits <= 4 ? 4 : 8;
}

std::shared_ptr<const uint32_t[]> widened(const StoredTensor& tensor, int64_t rows, int64_t cols) {
  const int64_t words = cols * wide_bits(tensor.bits) / 32;
  const int64_t stored = cols * tensor.bits / 8;  // bytes of a row
  const std::shared_ptr<uint32_t[]> wide(new uint32_t[static_cast<size_t>(rows * words)]);
  std::vector<uint8_t> levels(static_cast<size_t>(cols));
  for (int64_t row = 0; row < rows; ++row) {
    unpack_levels(tensor.view.bytes.data() + row * stored, tensor.bits, levels);
    pack_levels(levels, wide_bits(tensor.bits), wide.get() + row * words);
  }
  return wide;
}

// A quantised tensor, or rows of floats of any rank seen as [first dimension, rest].
Result<MatrixSource> source_of(const StoredTensor& tensor, int64_t rows, int64_t cols) {
  MatrixSource source{.rows = rows, .cols = cols, .data = tensor.view.bytes.data()};
  if (tensor.bits == 0) {
    FASTVLM_ASSIGN(source.type, float_type(tensor, tensor.view));
    return source;
  }
  source.type = wide_bits(tensor.bits) == 4 ? WeightType::kQ4 : WeightType::kQ8;
  if (wide_bits(tensor.bits) != tensor.bits) {
    source.owner = widened(tensor, rows, cols);
    source.data = source.owner.get();
  }
  FASTVLM_ASSIGN(source.scale_type, float_type(tensor, tensor.scales));
  source.scales = tensor.scales.bytes.data();
  source.biases = tensor.biases.bytes.data();
  source.group = tensor.group;
  return source;
}

// [out, kH, kW, in] -> [out, in, kH, kW], given the canonical shape.
std::vector<float> channels_first(const std::vector<float>& stored,
                                  const std::vector<int64_t>& shape) {
  const auto outputs = static_cast<size_t>(shape[0]);
  const auto inputs = static_cast<size_t>(shape[1]);
  const auto kernel = static_cast<size_t>(shape[2] * shape[3]);
  std::vector<float> out(stored.size());
  for (size_t o = 0; o < outputs; ++o) {
    for (size_t i = 0; i < inputs; ++i) {
      for (size_t k = 0; k < kernel; ++k) {
        out[(o * inputs + i) * kernel + k] = stored[(o * kernel + k) * inputs + i];
      }
    }
  }
  return out;
}

Status absent(const Checkpoint& checkpoint, std::string_view name) {
  return error(Code::kNotFound,
               cat(checkpoint.folder().string(), ": tensor `", name,
                   "` is missing (layout: ", layout_name(checkpoint.layout()), ")"),
               "check that the checkpoint is complete");
}

}  // namespace

std::string StoredTensor::described() const {
  return cat(file->path().string(), ": tensor `", stored_name, "`");
}

const StoredTensor* Checkpoint::State::find(std::string_view name) const {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : &found->second;
}

const std::filesystem::path& Checkpoint::folder() const {
  return state_->folder;
}
const ModelConfig& Checkpoint::config() const {
  return state_->config;
}
Layout Checkpoint::layout() const {
  return state_->layout;
}
const std::vector<std::string>& Checkpoint::warnings() const {
  return state_->warnings;
}
bool Checkpoint::contains(std::string_view name) const {
  return state_->find(name) != nullptr;
}
bool Checkpoint::has_projector() const {
  return contains("projector.0.weight");
}
bool Checkpoint::has_language() const {
  return contains("model.embed_tokens.weight");
}

bool Checkpoint::has_vision() const {
  const auto first = state_->tensors.lower_bound("vision.");
  return first != state_->tensors.end() && first->first.starts_with("vision.");
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state_->tensors) names.push_back(name);
  return names;
}

std::optional<std::vector<int64_t>> Checkpoint::shape(std::string_view name) const {
  const StoredTensor* tensor = state_->find(name);
  if (tensor == nullptr) return std::nullopt;
  return tensor->shape;
}

std::string Checkpoint::origin(std::string_view name) const {
  const StoredTensor* tensor = state_->find(name);
  if (tensor == nullptr) return cat(state_->folder.string(), ": ", name);
  return cat(tensor->file->path().filename().string(), ": ", tensor->stored_name);
}

Result<MatrixSource> Checkpoint::matrix(std::string_view name, int64_t rows, int64_t cols) const {
  const StoredTensor* tensor = state_->find(name);
  if (tensor == nullptr) return absent(*this, name);
  const std::vector<int64_t> flat{rows, cols};
  const std::vector<int64_t> convolution{rows, cols, 1, 1};
  // A 1x1 convolution has the same bytes in either order.
  if (tensor->shape != flat && tensor->shape != convolution) return wrong_shape(*tensor, flat);
  return source_of(*tensor, rows, cols);
}

Result<std::vector<float>> Checkpoint::floats(std::string_view name,
                                              const std::vector<int64_t>& shape) const {
  const StoredTensor* tensor = state_->find(name);
  if (tensor == nullptr) return absent(*this, name);
  if (!shape.empty() && tensor->shape != shape) return wrong_shape(*tensor, shape);
  const int64_t rows = tensor->shape.empty() ? 1 : tensor->shape[0];
  int64_t cols = 1;
  for (size_t i = 1; i < tensor->shape.size(); ++i) cols *= tensor->shape[i];
  FASTVLM_ASSIGN(const MatrixSource source, source_of(*tensor, rows, cols));
  std::vector<float> values(static_cast<size_t>(rows * cols));
  for (int64_t row = 0; row < rows; ++row) row_to_f32(source, row, values.data() + row * cols);
  return tensor->channels_last ? channels_first(values, tensor->shape) : values;
}

int64_t Checkpoint::stored_bytes(std::string_view name) const {
  const StoredTensor* tensor = state_->find(name);
  if (tensor == nullptr) return 0;
  size_t weights = tensor->view.bytes.size();
  if (tensor->bits != 0) {
    weights =
        weights * static_cast<size_t>(wide_bits(tensor->bits)) / static_cast<size_t>(tensor->bits);
  }
  return static_cast<int64_t>(weights + tensor->scales.bytes.size() + tensor->biases.bytes.size());
}

void Checkpoint::release(std::string_view name) const {
  const StoredTensor* tensor = state_->find(name);
  if (tensor == nullptr) return;
  tensor->file->release(tensor->view);
  if (tensor->bits == 0) return;
  tensor->scale_file->release(tensor->scales);
  tensor->bias_file->release(tensor->biases);
}

Result<std::string> Checkpoint::content_hash() const {
  constexpr size_t kChunk = size_t{16} << 20;
  std::vector<std::filesystem::path> files = state_->hashed_files;
  std::sort(files.begin(), files.end(),
            [](const auto& a, const auto& b) { return a.filename() < b.filename(); });
  Sha256 hash;
  for (const std::filesystem::path& path : files) {
    FASTVLM_ASSIGN(const MappedFile file, MappedFile::open(path));
    // Length-prefixed, so that no two sets of files share a digest.
    hash.update(cat(path.filename().string(), '\0', file.bytes().size(), '\0'));
    for (size_t at = 0; at < file.bytes().size(); at += kChunk) {
      const auto chunk = file.bytes().subspan(at, std::min(kChunk, file.bytes().size() - at));
      hash.update(chunk);
      file.release(chunk);
    }
  }
  return hash.finish();
}

}  // namespace fastvlm
