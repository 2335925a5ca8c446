// SPDX-License-Identifier: Apache-2.0
#include "quantize/merge.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/strings.h"
#include "formats/atomic_file.h"
#include "formats/projector_weights.h"
#include "formats/tensor_names.h"
#include "quantize/export_config.h"
#include "quantize/float_tensors.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kElementsAtATime = int64_t{4} << 20;
constexpr std::string_view kProjectorPrefix = "projector.";

Result<DType> dtype_of_linears(const Checkpoint& base) {
  const LanguageConfig& config = base.config().language;
  FASTVLM_ASSIGN(const MatrixSource source,
                 base.matrix("model.layers.0.self_attn.q_proj.weight",
                             config.heads * config.head_dim, config.hidden_size));
  switch (source.type) {
    case WeightType::kF16:
      return DType::kF16;
    case WeightType::kBF16:
      return DType::kBF16;
    default:
      return DType::kF32;
  }
}

class Merger {
 public:
  Merger(const Checkpoint& base, const LoraAdapter& adapter, const MergeOptions& options,
         ThreadPool& pool)
      : base_(base), adapter_(adapter), options_(options), pool_(pool) {}

  Result<AdapterMergeReport> run(const fs::path& out);

 private:
  Status check() const;
  Status take_projector();
  void plan();
  Status write_shard(const fs::path& path, const std::vector<std::string>& names);
  Status append_matrix(SafetensorsWriter& writer, const std::string& name, int64_t rows,
                       int64_t cols);
  void add_adapter(const LoraModule& module, int64_t index, float* row) const;
  Status append_projector(SafetensorsWriter& writer, const std::string& name) const;
  Status write_index(const fs::path& out) const;
  TensorDeclaration declaration(const std::string& name) const {
    return {stored_name(name, Layout::kLlava), report_.dtype, *base_.shape(name)};
  }

  const Checkpoint& base_;
  const LoraAdapter& adapter_;
  const MergeOptions& options_;
  ThreadPool& pool_;
  std::map<std::string, const LoraModule*, std::less<>> modules_;  // by name of the weight
  std::optional<ProjectorWeights> projector_;                      // the adapter's
  std::vector<std::vector<std::string>> shards_;                   // canonical names
  AdapterMergeReport report_;
};

Status Merger::check() const {
  const std::string folder = base_.folder().string();
  if (!base_.has_language()) {
    return error(Code::kUsage, cat(folder, ": has no language model"), "name a whole checkpoint");
  }
  if (base_.config().quantization && !options_.dequantize) {
    return error(Code::kUsage,
                 cat(folder, ": is quantised, and its rounding errors would stay in the result"),
                 "merge into the float checkpoint that it was made from, or give --dequantize");
  }
  return adapter_.check_fits(base_.config().language);
}

// With the strength that is asked for.
Status Merger::take_projector() {
  if (!adapter_.projector()) return {};
  FASTVLM_ASSIGN(const ProjectorWeights own, read_projector(base_));
  FASTVLM_ASSIGN(projector_, blend(own, adapter_.projector_weights(), options_.strength));
  report_.projector = true;
  return {};
}

void Merger::plan() {
  for (const LoraModule& module : adapter_.modules()) modules_[module.name + ".weight"] = &module;
  int64_t filled = 0;
  for (const std::string& name : base_.names()) {
    const int64_t bytes = declaration(name).bytes();
    if (shards_.empty() || filled + bytes > options_.shard_bytes) {
      shards_.emplace_back();
      filled = 0;
    }
    shards_.back().push_back(name);
    filled += bytes;
    report_.bytes += bytes;
  }
}

// A matrix some rows at a time, with what the adapter adds to it.
Status Merger::append_matrix(SafetensorsWriter& writer, const std::string& name, int64_t rows,
                             int64_t cols) {
  FASTVLM_ASSIGN(const MatrixSource source, base_.matrix(name, rows, cols));
  const auto found = modules_.find(name);
  const LoraModule* module = found == modules_.end() ? nullptr : found->second;
  const int64_t step = std::max<int64_t>(kElementsAtATime / cols, 1);
  std::vector<float> values;
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first);
    values.resize(static_cast<size_t>(count * cols));
    pool_.parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        float* row = values.data() + r * cols;
        row_to_f32(source, first + r, row);
        if (module != nullptr) add_adapter(*module, first + r, row);
      }
    });
    FASTVLM_RETURN_IF_ERROR(append_floats(writer, values, report_.dtype, base_.origin(name)));
  }
  if (module != nullptr) ++report_.adapted;
  return {};
}

Status Merger::append_projector(SafetensorsWriter& writer, const std::string& name) const {
  for (const ProjectorShape::Tensor& tensor : projector_->shape.tensors()) {
    if (cat(kProjectorPrefix, tensor.name) != name) continue;
    const auto values =
        std::span(projector_->values)
            .subspan(static_cast<size_t>(tensor.offset), static_cast<size_t>(tensor.size()));
    return append_floats(writer, values, report_.dtype, "adapter's " + name);
  }
  return {};
}

// row += scale * B[index] A
void Merger::add_adapter(const LoraModule& module, int64_t index, float* row) const {
  const float* a = adapter_.parameters().data() + module.a;
  const float* b = adapter_.parameters().data() + module.b + index * module.rank;
  const float scale = module.scale * options_.strength;
  for (int64_t k = 0; k < module.rank; ++k) {
    const float factor = scale * b[k];
    for (int64_t i = 0; i < module.in; ++i) row[i] += factor * a[k * module.in + i];
  }
}

Status Merger::write_shard(const fs::path& path, const std::vector<std::string>& names) {
  std::vector<TensorDeclaration> declarations;
  for (const std::string& name : names) declarations.push_back(declaration(name));
  FASTVLM_ASSIGN(SafetensorsWriter writer,
                 SafetensorsWriter::create(path, declarations, {{"format", "pt"}}));
  for (const std::string& name : names) {
    const std::vector<int64_t> shape = *base_.shape(name);
    if (projector_ && name.starts_with(kProjectorPrefix)) {
      FASTVLM_RETURN_IF_ERROR(append_projector(writer, name));
    } else if (shape.size() == 2) {
      FASTVLM_RETURN_IF_ERROR(append_matrix(writer, name, shape[0], shape[1]));
    } else {
      FASTVLM_ASSIGN(const std::vector<float> values, base_.floats(name));
      FASTVLM_RETURN_IF_ERROR(append_floats(writer, values, report_.dtype, base_.origin(name)));
    }
    base_.release(name);
  }
  return writer.finish();
}

Status Merger::write_index(const fs::path& out) const {
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    for (const std::string& name : shards_[shard]) {
      map[stored_name(name, Layout::kLlava)] = report_.files[shard];
    }
  }
  const nlohmann::ordered_json index = {{"metadata", {{"total_size", report_.bytes}}},
                                        {"weight_map", map}};
  return write_file_atomically(out / "model.safetensors.index.json", index.dump(2) + "\n");
}

Result<AdapterMergeReport> Merger::run(const fs::path& out) {
  FASTVLM_RETURN_IF_ERROR(check());
  FASTVLM_RETURN_IF_ERROR(take_projector());
  if (options_.dtype) {
    report_.dtype = *options_.dtype;
  } else {
    FASTVLM_ASSIGN(report_.dtype, dtype_of_linears(base_));
  }
  FASTVLM_RETURN_IF_ERROR(make_empty_folder(out));
  plan();
  for (size_t shard = 0; shard < shards_.size(); ++shard) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", shard + 1, shards_.size());
    report_.files.emplace_back(shards_.size() == 1 ? "model.safetensors" : name);
    FASTVLM_RETURN_IF_ERROR(write_shard(out / report_.files.back(), shards_[shard]));
  }
  if (shards_.size() > 1) FASTVLM_RETURN_IF_ERROR(write_index(out));
  FASTVLM_RETURN_IF_ERROR(copy_small_files(base_, out));
  FASTVLM_RETURN_IF_ERROR(write_float_config(base_, out, report_.dtype));
  return std::move(report_);
}

}  // namespace

Result<AdapterMergeReport> merge_adapter(const Checkpoint& base, const LoraAdapter& adapter,
                                         const fs::path& out, const MergeOptions& options,
                                         ThreadPool& pool) {
  return Merger(base, adapter, options, pool).run(out);
}

}  // namespace fastvlm
