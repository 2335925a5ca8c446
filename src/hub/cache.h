// SPDX-License-Identifier: Apache-2.0
// The folder where pulled models live, and what is in it. Each model is a folder with its files and
// a record of where they came from, `fastvlm-source.json`, which is written last: a folder without
// it is a download that has not finished.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace fastvlm {

inline constexpr const char* kRecordFile = "fastvlm-source.json";

struct PulledFile {
  std::string path;  // relative to the model's folder
  uint64_t bytes = 0;
  std::string sha256;
  bool verified = false;  // compared with a digest that the source publishes
};

struct PulledModel {
  std::string name;
  std::filesystem::path folder;
  std::string source;    // repository or address
  std::string revision;  // commit of the repository; empty for single files
  std::string license;
  std::vector<PulledFile> files;
  bool complete = false;

  uint64_t bytes() const;
};

// $XDG_CACHE_HOME/fastvlm/models, or ~/.cache/fastvlm/models.
Result<std::filesystem::path> models_folder();

// What is there, by name; unfinished downloads are listed as not complete.
Result<std::vector<PulledModel>> list_models(const std::filesystem::path& models);

// Reads or writes the record of a model's folder.
Result<PulledModel> read_record(const std::filesystem::path& folder);
Status write_record(const PulledModel& model);

// Until there is a record, a note in the folder says whose files it holds; write_record() removes
// it. The source is empty when nobody has noted one.
std::string unfinished_source(const std::filesystem::path& folder);
Status note_unfinished(const std::filesystem::path& folder, const std::string& source);
// Removes the folder when it holds nothing but such a note.
void remove_if_empty(const std::filesystem::path& folder);

// A model's name is one plain component of a path, fit for a terminal and a command line.
Status check_model_name(const std::string& name);

}  // namespace fastvlm
