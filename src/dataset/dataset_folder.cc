// SPDX-License-Identifier: Apache-2.0
#include "dataset/dataset_folder.h"

#include <nlohmann/json.hpp>

#include "base/file_digest.h"
#include "base/strings.h"
#include "formats/atomic_file.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

// Of each split.
std::array<std::string, 2> file_names(std::string_view split) {
  return {cat(split, ".jsonl"), cat(split, ".json")};
}

}  // namespace

std::vector<std::string> dataset_file_names() {
  std::vector<std::string> names = {kDatasetRecord};
  for (const std::string_view split : kSplitNames) {
    for (std::string& name : file_names(split)) names.push_back(std::move(name));
  }
  return names;
}

Status prepare_dataset_folder(const fs::path& folder) {
  std::error_code failed;
  if (!fs::exists(folder, failed)) fs::create_directory(folder, failed);
  if (failed || !fs::is_directory(folder, failed)) {
    return error(Code::kIo, cat(folder.string(), ": cannot be made a folder"),
                 "make the folder above it, or write elsewhere");
  }
  if (fs::exists(folder / kDatasetRecord, failed)) return {};
  for (const std::string& name : dataset_file_names()) {
    if (!fs::exists(folder / name, failed)) continue;
    return error(
        Code::kUsage,
        cat((folder / name).string(), ": is there already, and no ", kDatasetRecord, " beside it"),
        "choose an empty folder, or remove the file");
  }
  return {};
}

Status write_dataset(const fs::path& folder, const SplitSamples& samples,
                     const DatasetSettings& settings) {
  Json files = Json::array();
  for (size_t i = 0; i < kSplitCount; ++i) {
    const std::string split(kSplitNames[i]);
    if (!samples[i].empty()) FASTVLM_RETURN_IF_ERROR(write_samples(folder, split, samples[i]));
    for (const std::string& file : file_names(split)) {
      std::error_code ignored;
      if (samples[i].empty()) {
        fs::remove(folder / file, ignored);
        continue;
      }
      FASTVLM_ASSIGN(std::string sha256, sha256_of_file(folder / file));
      files.push_back(
          {{"name", file}, {"samples", samples[i].size()}, {"sha256", std::move(sha256)}});
    }
  }
  Json made = Json::object();
  for (const auto& [key, value] : settings) made[key] = value;
  const Json record = {{"dataset", "fastvlm"}, {"format", 1}, {"made", made}, {"files", files}};
  const std::string text = record.dump(2, ' ', false, Json::error_handler_t::replace);
  return write_file_atomically(folder / kDatasetRecord, text + "\n");
}

}  // namespace fastvlm
