// SPDX-License-Identifier: Apache-2.0
#include "hub/cache.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "formats/atomic_file.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr const char* kNoteFile = "fastvlm-source.part";

std::string text_or(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

uint64_t PulledModel::bytes() const {
  uint64_t sum = 0;
  for (const PulledFile& file : files) sum += file.bytes;
  return sum;
}

Result<std::filesystem::path> models_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return std::filesystem::path(cache) / "fastvlm" / "models";
  }
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0') {
    return std::filesystem::path(home) / ".cache" / "fastvlm" / "models";
  }
  return error(Code::kNotFound,
               "neither XDG_CACHE_HOME nor HOME is set: there is no place for models",
               "set XDG_CACHE_HOME to a folder");
}

Result<PulledModel> read_record(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kRecordFile;
  FASTVLM_ASSIGN(const std::string text, read_text_file(path, size_t{1} << 20));
  const json record = json::parse(text, nullptr, false);
  const auto files = record.is_object() ? record.find("files") : record.end();
  if (!record.is_object() || files == record.end() || !files->is_array()) {
    return error(Code::kInvalid, cat(path.string(), ": expected a JSON object with `files`"),
                 "pull the model again");
  }
  PulledModel model;
  model.name = folder.filename().string();
  model.folder = folder;
  model.source = text_or(record, "source");
  model.revision = text_or(record, "revision");
  model.license = text_or(record, "license");
  for (const json& file : *files) {
    if (!file.is_object()) continue;
    PulledFile entry;
    entry.path = text_or(file, "path");
    entry.sha256 = text_or(file, "sha256");
    entry.bytes = file.contains("bytes") && file["bytes"].is_number_unsigned()
                      ? file["bytes"].get<uint64_t>()
                      : 0;
    entry.verified =
        file.contains("verified") && file["verified"].is_boolean() && file["verified"].get<bool>();
    model.files.push_back(std::move(entry));
  }
  std::error_code ignored;
  model.complete = std::all_of(model.files.begin(), model.files.end(), [&](const PulledFile& file) {
    return std::filesystem::file_size(folder / file.path, ignored) == file.bytes;
  });
  return model;
}

Status write_record(const PulledModel& model) {
  json files = json::array();
  for (const PulledFile& file : model.files) {
    files.push_back({{"path", file.path},
                     {"bytes", file.bytes},
                     {"sha256", file.sha256},
                     {"verified", file.verified}});
  }
  const json record = {{"source", model.source},
                       {"revision", model.revision},
                       {"license", model.license},
                       {"files", std::move(files)}};
  const std::string text = record.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
  FASTVLM_RETURN_IF_ERROR(write_file_atomically(model.folder / kRecordFile, text));
  std::error_code ignored;
  std::filesystem::remove(model.folder / kNoteFile, ignored);
  return {};
}

std::string unfinished_source(const std::filesystem::path& folder) {
  const auto note = read_text_file(folder / kNoteFile, size_t{1} << 16);
  return note.ok() ? std::string(trimmed(*note)) : std::string();
}

Status note_unfinished(const std::filesystem::path& folder, const std::string& source) {
  std::error_code failure;
  std::filesystem::create_directories(folder, failure);
  if (failure) {
    return error(Code::kIo, cat(folder.string(), ": cannot be made: ", failure.message()),
                 "check the folder and its permissions");
  }
  return write_file_atomically(folder / kNoteFile, source + "\n");
}

void remove_if_empty(const std::filesystem::path& folder) {
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    if (entry.path().filename() != kNoteFile) return;
  }
  if (failure) return;
  std::filesystem::remove(folder / kNoteFile, failure);
  std::filesystem::remove(folder, failure);
}

Status check_model_name(const std::string& name) {
  const bool plain =
      !name.empty() && printable(name) == name && name.find_first_of("/\\") == std::string::npos &&
      std::string_view(".- ").find(name.front()) == std::string_view::npos && name.back() != ' ';
  if (plain) return {};
  return error(Code::kUsage, cat("`", name, "`: expected a plain name for the model"),
               "leave out `/`, control characters and a dot, dash or blank at the beginning");
}

Result<std::vector<PulledModel>> list_models(const std::filesystem::path& models) {
  std::vector<PulledModel> found;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(models, failure)) {
    if (!entry.is_directory(failure)) continue;
    auto record = read_record(entry.path());
    if (record.ok()) {
      found.push_back(std::move(*record));
    } else {
      PulledModel unfinished;
      unfinished.name = entry.path().filename().string();
      unfinished.folder = entry.path();
      found.push_back(std::move(unfinished));
    }
  }
  std::sort(found.begin(), found.end(),
            [](const PulledModel& a, const PulledModel& b) { return a.name < b.name; });
  return found;
}

}  // namespace fastvlm
