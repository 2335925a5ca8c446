// SPDX-License-Identifier: Apache-2.0
#include "cli/run_facts.h"

#include "dataset/dataset_folder.h"
#include "formats/json_fields.h"

namespace fastvlm::cli {

RunData describe_data(const std::string& file, const SampleData& data) {
  RunData described{std::filesystem::path(file).filename().string(),
                    static_cast<int64_t>(data.size()), data.pictures(), 0};
  for (size_t i = 0; i < data.size(); ++i) {
    described.tokens += static_cast<int64_t>(data.targets(i).size());
  }
  return described;
}

int64_t bytes_of_files(const std::filesystem::path& folder) {
  std::error_code ignored;
  int64_t bytes = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder, ignored)) {
    if (file.is_regular_file(ignored)) bytes += static_cast<int64_t>(file.file_size(ignored));
  }
  return bytes;
}

std::vector<std::pair<std::string, std::string>> how_data_was_made(const std::string& file) {
  std::vector<std::pair<std::string, std::string>> made;
  const auto record =
      read_ordered_json_object(std::filesystem::path(file).parent_path() / kDatasetRecord);
  if (!record.ok() || !record->contains("made") || !record->at("made").is_object()) return made;
  for (const auto& [name, value] : record->at("made").items()) {
    made.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return made;
}

}  // namespace fastvlm::cli
