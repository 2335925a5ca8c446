// SPDX-License-Identifier: Apache-2.0
#include "cli/find_detector.h"

#include <algorithm>
#include <vector>

#include "base/file_digest.h"
#include "base/mapped_file.h"
#include "cli/find_model.h"
#include "hub/cache.h"
#include "kernels/dot_matrix.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;

bool is_weights(const fs::path& path) {
  const std::string extension = lower_case(path.extension().string());
  return extension == ".pt" || extension == ".onnx" || extension == ".safetensors";
}

// The weights in the folder of a pulled model, the first by name.
std::optional<fs::path> weights_in(const std::string& model) {
  const Result<fs::path> models = models_folder();  // without a home nothing was pulled
  if (!models.ok()) return std::nullopt;
  std::error_code failed;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(*models / model, failed)) {
    if (is_weights(entry.path())) files.push_back(entry.path());
  }
  if (files.empty()) return std::nullopt;
  return *std::min_element(files.begin(), files.end());
}

// What the file holds is gone from memory when it returns.
Result<Detector> read_detector(const fs::path& path, Arithmetic arithmetic, ThreadPool& pool) {
  FASTVLM_ASSIGN(const DetectorWeights weights, read_detector_weights(path));
  return Detector::load(weights, pool, arithmetic);
}

}  // namespace

std::optional<fs::path> pulled_detector() {
  for (const char* name : {"yolo11n", "yolo11s", "yolo11m", "yolo11l", "yolo11x"}) {
    if (auto found = weights_in(name)) return found;
  }
  return std::nullopt;
}

Result<fs::path> find_detector(const std::string& name, const std::string& option) {
  if (name.empty()) {
    if (auto found = pulled_detector()) return *found;
    return error(Code::kNotFound,
                 cat("no detector: ", option, " is not given and none has been pulled"),
                 cat("give a .pt, .onnx or .safetensors file with ", option,
                     " FILE, or run `fastvlm pull yolo11n` (AGPL-3.0)"));
  }
  std::error_code ignored;
  if (fs::is_directory(name, ignored)) {
    return error(Code::kInvalid, cat(option, " ", name, ": expected a file, found a folder"),
                 "give the .pt, .onnx or .safetensors file itself");
  }
  if (fs::exists(name, ignored)) return fs::path(name);
  if (is_plain_name(name)) {
    if (auto found = weights_in(name)) return *found;
  }
  return error(Code::kNotFound,
               cat(option, " ", name, ": no such file, and no pulled detector of that name"),
               "give a .pt, .onnx or .safetensors file, or pull the detector first");
}

Result<LoadedDetector> load_detector(const fs::path& path, std::optional<Arithmetic> arithmetic,
                                     ThreadPool& pool) {
  FASTVLM_ASSIGN(Detector detector,
                 read_detector(path, arithmetic.value_or(fastest_arithmetic()), pool));
  FASTVLM_ASSIGN(std::string sha256, sha256_of_file(path));
  return LoadedDetector{std::move(detector), path.filename().string(), std::move(sha256)};
}

}  // namespace fastvlm::cli
