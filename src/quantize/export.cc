// SPDX-License-Identifier: Apache-2.0
#include "quantize/export.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <utility>

#include "base/strings.h"
#include "formats/affine.h"
#include "formats/narrow.h"
#include "formats/tensor_lists.h"
#include "formats/weight_files.h"
#include "kernels/half.h"
#include "quantize/affine_search.h"
#include "quantize/export_config.h"
#include "quantize/float_tensors.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

// A tensor of the source on its way: quantised when it has settings.
struct Planned {
  std::string name;  // canonical
  std::vector<int64_t> shape;
  std::optional<AffineSettings> settings;
  bool channels_last = false;
};

bool is_of_tower(const std::string& name) {
  return name.starts_with("vision.");
}

std::vector<float> channels_last(const std::vector<float>& values,
                                 const std::vector<int64_t>& shape) {
  if (shape.size() != 4) return values;
  const auto inputs = static_cast<size_t>(shape[1]);
  const auto kernel = static_cast<size_t>(shape[2] * shape[3]);
  std::vector<float> out(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t output = i / (inputs * kernel);
    const size_t input = i / kernel % inputs;
    out[(output * kernel + i % kernel) * inputs + input] = values[i];
  }
  return out;
}

Status check_source(const Checkpoint& source, Layout layout) {
  const std::string folder = source.folder().string();
  if (source.config().quantization) {
    return error(Code::kUsage, cat(folder, ": is quantised already"),
                 "quantise the float checkpoint that it was made from");
  }
  if (!source.has_language()) {
    return error(Code::kUsage, cat(folder, ": has no language model"), "name a whole checkpoint");
  }
  if (layout != Layout::kMlxVlm) return {};
  if (!source.has_vision()) {
    return error(Code::kUsage, cat(folder, ": has no tower, and mlx-vlm keeps it with the model"),
                 "give --vision-tower, or take --layout apple");
  }
  const std::vector<std::string> names = source.names();
  const auto branch = std::find_if(names.begin(), names.end(), [](const std::string& name) {
    return is_of_tower(name) && name.find(".rbr_") != std::string::npos;
  });
  if (branch == names.end()) return {};
  return error(Code::kUsage,
               cat(source.origin(*branch), ": a tower in training form, which mlx-vlm cannot read"),
               "give a tower in inference form with --vision-tower, or take --layout apple");
}

class Exporter {
 public:
  Exporter(const Checkpoint& source, const ExportOptions& options, ThreadPool& pool)
      : source_(source), options_(options), pool_(pool) {}

  Result<ExportReport> run(const fs::path& out);

 private:
  void plan();
  Status write_file(const fs::path& path, const std::vector<Planned>& tensors);
  Status append(SafetensorsWriter& writer, const Planned& tensor);
  Status append_quantized(SafetensorsWriter& writer, const Planned& tensor);

  const Checkpoint& source_;
  const ExportOptions& options_;
  ThreadPool& pool_;
  std::vector<Planned> model_;
  std::vector<Planned> tower_;  // in a file of its own
  ExportReport report_;
};

void Exporter::plan() {
  const bool vlm = options_.layout == Layout::kMlxVlm;
  for (const std::string& name : source_.names()) {
    Planned tensor{name, *source_.shape(name), {}, vlm && is_of_tower(name)};
    if (is_of_tower(name)) {
      (vlm ? model_ : tower_).push_back(std::move(tensor));
      continue;
    }
    if (tensor.shape.size() == 2) {
      const AffineSettings& settings = options_.recipe.of(name);
      if (tensor.shape[1] % settings.group == 0) {
        tensor.settings = settings;
      } else {
        report_.left_out.push_back(name);
      }
    }
    model_.push_back(std::move(tensor));
  }
}

Status Exporter::append_quantized(SafetensorsWriter& writer, const Planned& tensor) {
  const int64_t cols = tensor.shape[1];
  FASTVLM_ASSIGN(const MatrixSource matrix, source_.matrix(tensor.name, tensor.shape[0], cols));
  const AffineSettings& settings = *tensor.settings;
  const bool search = options_.quantizer == Quantizer::kSearch;
  std::vector<float> importance;
  if (options_.importance != nullptr) importance = options_.importance->of(tensor.name);
  std::atomic<bool> fits = true;
  const RowSource row = [&](int64_t index, float* values) {
    row_to_f32(matrix, index, values);
    for (int64_t i = 0; i < cols; ++i) {
      if (!(std::abs(values[i]) <= kLargestF16)) {
        fits = false;
        values[i] = 0;
      }
      if (!search) values[i] = f16_to_f32(f32_to_f16(values[i]));
    }
  };
  const RowQuantizer quantize = [&](const float* values, uint32_t* words, float* scales,
                                    float* biases) {
    if (search) {
      search_affine_row(values, importance.empty() ? nullptr : importance.data(), cols,
                        settings.bits, settings.group, words, scales, biases);
    } else {
      quantize_affine_row(values, cols, settings.bits, settings.group, words, scales, biases);
    }
  };
  FASTVLM_RETURN_IF_ERROR(
      append_affine(writer, tensor.shape[0], cols, settings, row, quantize, pool_));
  return fits ? Status() : beyond_f16(source_.origin(tensor.name));
}

Status Exporter::append(SafetensorsWriter& writer, const Planned& tensor) {
  FASTVLM_ASSIGN(std::vector<float> values, source_.floats(tensor.name));
  if (tensor.channels_last) values = channels_last(values, tensor.shape);
  return append_floats(writer, values, DType::kF16, source_.origin(tensor.name));
}

Status Exporter::write_file(const fs::path& path, const std::vector<Planned>& tensors) {
  std::vector<TensorDeclaration> declarations;
  for (const Planned& tensor : tensors) {
    const std::string stored = stored_name(tensor.name, options_.layout);
    report_.parameters += NamedShape{"", tensor.shape}.elements();
    if (tensor.settings) {
      ++report_.quantized;
      for (TensorDeclaration& part :
           declare_affine(stored, tensor.shape[0], tensor.shape[1], *tensor.settings)) {
        declarations.push_back(std::move(part));
      }
      continue;
    }
    ++report_.kept;
    declarations.push_back(
        {stored, DType::kF16, tensor.channels_last ? last_channels(tensor.shape) : tensor.shape});
  }
  for (const TensorDeclaration& tensor : declarations) report_.bytes += tensor.bytes();
  report_.files.push_back(path.filename().string());
  FASTVLM_ASSIGN(SafetensorsWriter writer,
                 SafetensorsWriter::create(path, declarations, {{"format", "mlx"}}));
  for (const Planned& tensor : tensors) {
    FASTVLM_RETURN_IF_ERROR(tensor.settings ? append_quantized(writer, tensor)
                                            : append(writer, tensor));
    source_.release(tensor.name);
  }
  return writer.finish();
}

Result<ExportReport> Exporter::run(const fs::path& out) {
  FASTVLM_RETURN_IF_ERROR(check_export(source_, out, options_));
  plan();
  if (!tower_.empty()) FASTVLM_RETURN_IF_ERROR(write_file(out / kTowerFileName, tower_));
  FASTVLM_RETURN_IF_ERROR(write_file(out / "model.safetensors", model_));
  FASTVLM_RETURN_IF_ERROR(write_export_files(source_, out));
  FASTVLM_RETURN_IF_ERROR(write_export_config(source_, out, options_));
  return std::move(report_);
}

}  // namespace

Status check_export(const Checkpoint& source, const fs::path& out, const ExportOptions& options) {
  FASTVLM_RETURN_IF_ERROR(check_source(source, options.layout));
  return make_empty_folder(out);
}

Result<ExportReport> export_quantized(const Checkpoint& source, const fs::path& out,
                                      const ExportOptions& options, ThreadPool& pool) {
  return Exporter(source, options, pool).run(out);
}

}  // namespace fastvlm
