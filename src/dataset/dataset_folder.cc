// SPDX-License-Identifier: Apache-2.0
#include "dataset/dataset_folder.h"

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "formats/atomic_file.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::array<const char*, 2> kEndings = {".jsonl", ".json"};

Json file_entry(const std::string& name, size_t samples, const std::string& sha256) {
  return {{"name", name}, {"samples", samples}, {"sha256", sha256}};
}

}  // namespace

Status prepare_dataset_folder(const fs::path& folder) {
  std::error_code failed;
  if (!fs::exists(folder, failed)) fs::create_directory(folder, failed);
  if (failed || !fs::is_directory(folder, failed)) {
    return error(Code::kIo, cat(folder.string(), ": cannot be made a folder"),
                 "make the folder above it, or write elsewhere");
  }
  if (fs::exists(folder / kDatasetRecord, failed)) return {};
  for (const std::string_view name : kSplitNames) {
    for (const char* ending : kEndings) {
      const fs::path file = folder / cat(name, ending);
      if (!fs::exists(file, failed)) continue;
      return error(Code::kUsage,
                   cat(file.string(), ": is there already, and no ", kDatasetRecord, " beside it"),
                   "choose an empty folder, or remove the file");
    }
  }
  return {};
}

Status write_dataset(const fs::path& folder, const SplitSamples& samples,
                     const DatasetSettings& settings) {
  Json files = Json::array();
  for (size_t i = 0; i < kSplitCount; ++i) {
    const std::string name(kSplitNames[i]);
    if (!samples[i].empty()) FASTVLM_RETURN_IF_ERROR(write_samples(folder, name, samples[i]));
    for (const char* ending : kEndings) {
      const std::string file = name + ending;
      std::error_code ignored;
      if (samples[i].empty()) {
        fs::remove(folder / file, ignored);
        continue;
      }
      FASTVLM_ASSIGN(const std::string content, read_text_file(folder / file));
      files.push_back(file_entry(file, samples[i].size(), sha256_hex(content)));
    }
  }
  Json made = Json::object();
  for (const auto& [key, value] : settings) made[key] = value;
  const Json record = {{"dataset", "fastvlm"}, {"format", 1}, {"made", made}, {"files", files}};
  const std::string text = record.dump(2, ' ', false, Json::error_handler_t::replace);
  return write_file_atomically(folder / kDatasetRecord, text + "\n");
}

}  // namespace fastvlm
