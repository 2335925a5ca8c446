// SPDX-License-Identifier: Apache-2.0
#include "formats/weight_files.h"

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <set>

#include "base/strings.h"
#include "formats/json_fields.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

constexpr char kSingle[] = "model.safetensors";
constexpr char kIndex[] = "model.safetensors.index.json";
constexpr char kComplete[] = "download the missing files, or copy the whole folder again";

// A shard lies in the folder itself: no separators, no "..", nothing absolute.
bool plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of("/\\") == std::string::npos && name.find('\0') == std::string::npos;
}

std::vector<std::string> list_names(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (fs::directory_iterator at(folder, ignored), end; at != end; at.increment(ignored)) {
    names.push_back(at->path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// All of `names` as paths, or an error that names the first absent one and counts the rest.
Result<std::vector<fs::path>> require_all(const fs::path& folder,
                                          const std::set<std::string>& names) {
  std::vector<fs::path> paths;
  std::string first_missing;
  for (const std::string& name : names) {
    if (file_exists(folder / name)) {
      paths.push_back(folder / name);
    } else if (first_missing.empty()) {
      first_missing = name;
    }
  }
  if (first_missing.empty()) return paths;
  return error(Code::kNotFound,
               cat((folder / first_missing).string(), ": no such file; ", paths.size(), " of ",
                   names.size(), " weight files are there"),
               kComplete);
}

// Names like model-00002-of-00003.safetensors stand for the whole series.
std::set<std::string> complete_series(const std::vector<std::string>& names) {
  static const std::regex kPattern("(.+)-(\\d{5})-of-(\\d{5})\\.safetensors");
  std::set<std::string> series;
  for (const std::string& name : names) {
    std::smatch match;
    if (!std::regex_match(name, match, kPattern)) return {};
    const int count = std::atoi(match.str(3).c_str());
    for (int i = 1; i <= count; ++i) {
      const std::string digits = std::to_string(100000 + i).substr(1);
      series.insert(cat(match.str(1), "-", digits, "-of-", match.str(3), ".safetensors"));
    }
  }
  return series;
}

// What to tell someone whose folder has no safetensors at all.
Status no_weights(const fs::path& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    for (const char* extension : {".bin", ".pt", ".pth", ".ckpt", ".gguf", ".npz"}) {
      if (!name.ends_with(extension)) continue;
      return error(Code::kUnsupported,
                   cat((folder / name).string(),
                       ": weights in this container are not read; expected ", kSingle),
                   "convert the checkpoint to safetensors, or download its safetensors files");
    }
  }
  return error(Code::kNotFound,
               cat(folder.string(), ": no weights: expected ", kSingle, ", found ", names.size(),
                   " other files"),
               "name a checkpoint folder: config.json beside *.safetensors");
}

Result<std::vector<fs::path>> from_unusual_names(const fs::path& folder) {
  const std::vector<std::string> all = list_names(folder);
  std::vector<std::string> names;
  std::copy_if(all.begin(), all.end(), std::back_inserter(names), [](const std::string& name) {
    return name.ends_with(".safetensors") && name != kTowerFileName && name.front() != '.';
  });
  if (std::erase(names, "adapter_model.safetensors") != 0 && names.empty()) {
    return error(Code::kInvalid,
                 cat((folder / "adapter_model.safetensors").string(),
                     ": is an adapter, not a whole checkpoint"),
                 "name the checkpoint that it was trained on");
  }
  if (names.empty()) return no_weights(folder, all);
  if (names.size() == 1 && complete_series(names).empty()) {
    return std::vector<fs::path>{folder / names.front()};
  }
  const std::set<std::string> series = complete_series(names);
  if (series.size() > 1 || names.size() == 1) return require_all(folder, series);
  return error(Code::kInvalid,
               cat(folder.string(), ": ", names.size(), " safetensors files and no ", kSingle,
                   "; the first is ", names.front()),
               cat("keep one of them in the folder, or name it ", kSingle));
}

}  // namespace

bool file_exists(const fs::path& path) {
  std::error_code fault;
  return fs::exists(path, fault) || fault;
}

Result<std::vector<IndexedTensor>> read_weight_index(const fs::path& folder) {
  std::vector<IndexedTensor> tensors;
  const fs::path path = folder / kIndex;
  if (!file_exists(path)) return tensors;
  FASTVLM_ASSIGN(const nlohmann::json index, read_json_object(path));
  const JsonFields fields(path.string(), {&index});
  const nlohmann::json* map = fields.find_object("weight_map");
  if (map == nullptr || map->empty()) {
    return fields.missing("weight_map", "an object of tensor names and file names");
  }
  for (const auto& [name, file] : map->items()) {
    if (!file.is_string() || !plain_name(file.get<std::string>())) {
      return error(Code::kInvalid,
                   cat(path.string(), ": weight_map: tensor `", name,
                       "`: expected the name of a file in the same folder, found ", file.dump()),
                   "restore the index from the checkpoint's source");
    }
    tensors.push_back({name, file.get<std::string>()});
  }
  return tensors;
}

Result<std::vector<fs::path>> find_weight_files(const fs::path& folder) {
  if (!file_exists(folder)) {
    return error(Code::kNotFound, cat(folder.string(), ": no such folder"), "check the path");
  }
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    return error(Code::kInvalid,
                 cat(folder.string(), ": expected a checkpoint folder, found a file"),
                 "name the folder that holds config.json and the weights");
  }
  if (file_exists(folder / kSingle)) return std::vector<fs::path>{folder / kSingle};
  FASTVLM_ASSIGN(const std::vector<IndexedTensor> index, read_weight_index(folder));
  if (index.empty()) return from_unusual_names(folder);
  std::set<std::string> names;
  for (const IndexedTensor& tensor : index) names.insert(tensor.file);
  return require_all(folder, names);
}

}  // namespace fastvlm
