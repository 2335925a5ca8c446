// SPDX-License-Identifier: Apache-2.0
#include "cli/find_model.h"

#include <cstdlib>
#include <optional>
#include <vector>

#include "hub/cache.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::optional<fs::path> demo_model() {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  std::vector<fs::path> places;
  if (!failed) {
    const fs::path folder = program.parent_path();
    places.push_back(folder / ".." / ".." / "models" / "demo");
    places.push_back(folder / ".." / "share" / "fastvlm" / "models" / "demo");
  }
  places.push_back(fs::path(FASTVLM_SOURCE_DIR) / "models" / "demo");
  for (const fs::path& place : places) {
    if (fs::exists(place / "config.json", failed)) return fs::weakly_canonical(place, failed);
  }
  return std::nullopt;
}

Result<FoundModel> named_model(const std::string& name, const std::string& origin) {
  if (is_folder(name)) return FoundModel{name, false};
  if (std::error_code ignored; fs::exists(name, ignored)) {
    return error(Code::kInvalid,
                 cat(origin, " ", name, ": expected a checkpoint folder, found a file"),
                 "give the folder that holds config.json and the weights");
  }
  const Result<fs::path> pulled = models_folder();  // without a home nothing was pulled
  if (pulled.ok() && is_plain_name(name) && is_folder(*pulled / name)) {
    return FoundModel{*pulled / name, false};
  }
  return error(Code::kNotFound,
               cat(origin, " ", name, ": no such folder, and no pulled model of that name"),
               "give a checkpoint folder (config.json and *.safetensors), or pull the model first");
}

}  // namespace

bool is_plain_name(const std::string& text) {
  return !text.empty() && text.find('/') == std::string::npos && text.front() != '.';
}

Result<FoundModel> find_model(const std::string& name) {
  if (!name.empty()) return named_model(name, "--model");
  const char* wanted = std::getenv("FASTVLM_MODEL");
  if (wanted != nullptr && *wanted != '\0') return named_model(wanted, "FASTVLM_MODEL");
  if (const std::optional<fs::path> demo = demo_model()) return FoundModel{*demo, true};
  return error(Code::kNotFound,
               "no model: --model is not given and the demo model is not installed",
               "give a checkpoint folder with --model DIR, or set FASTVLM_MODEL");
}

}  // namespace fastvlm::cli
