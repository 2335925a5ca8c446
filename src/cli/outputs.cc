// SPDX-License-Identifier: Apache-2.0
#include "cli/outputs.h"

#include <sys/stat.h>

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/strings.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;

// Where a file of this name comes to be, also when it is not there yet: dangling links followed.
fs::path place_of(fs::path path) {
  std::error_code failed;
  for (int links = 0; links < 40 && fs::is_symlink(fs::symlink_status(path, failed)); ++links) {
    path = path.parent_path() / fs::read_symlink(path, failed);
  }
  const fs::path place = fs::weakly_canonical(fs::absolute(path, failed), failed);
  return failed ? path : place;
}

}  // namespace

std::optional<FileId> file_id(const fs::path& path) {
  struct stat found {};
  if (path.empty() || ::stat(path.c_str(), &found) != 0) return std::nullopt;
  return FileId{found.st_dev, found.st_ino};
}

Status check_outputs(const std::vector<Output>& outputs, const std::vector<fs::path>& inputs) {
  std::map<FileId, fs::path> read;
  for (const fs::path& input : inputs) {
    if (const auto id = file_id(input)) read.emplace(*id, input);
  }
  std::set<fs::path> written;
  for (const Output& output : outputs) {
    if (output.path.empty()) continue;
    std::error_code failed;
    const fs::path folder = fs::absolute(output.path, failed).parent_path();
    if (!fs::is_directory(folder, failed)) {
      return error(Code::kIo,
                   cat(output.option, " ", output.path.string(), ": the folder ", folder.string(),
                       " does not exist"),
                   "make the folder, or write elsewhere");
    }
    const bool there = fs::exists(output.path, failed);
    if (failed == std::errc::filename_too_long) {
      return error(Code::kUsage,
                   cat(output.option, " ", output.path.string(),
                       ": the name is too long for this file system"),
                   "write into a file with a shorter name");
    }
    if (there && !fs::is_regular_file(output.path, failed)) {
      continue;  // devices and pipes take any number of writers
    }
    if (const auto id = file_id(output.path); id && read.contains(*id)) {
      return error(Code::kUsage,
                   cat(output.option, " ", output.path.string(), ": is ", read.at(*id).string(),
                       ", which is read"),
                   "write elsewhere");
    }
    if (!written.insert(place_of(output.path)).second) {
      return error(Code::kUsage,
                   cat(output.option, " ", output.path.string(), ": is written already"),
                   "give every output a file of its own");
    }
  }
  return {};
}

Status check_folder_of_outputs(const std::string& option, const fs::path& folder,
                               const std::vector<std::string>& pictures,
                               const std::function<fs::path(const std::string& picture)>& name_of) {
  std::set<fs::path> names;
  for (const std::string& picture : pictures) {
    if (const fs::path name = name_of(picture); !names.insert(name).second) {
      return error(Code::kUsage, cat(option, ": two pictures would write ", name.string()),
                   "look at them in two runs with a folder each");
    }
  }
  if (std::error_code failed; !fs::is_directory(folder, failed)) {
    return error(Code::kNotFound, cat(option, " ", folder.string(), ": no such folder"),
                 "make the folder first");
  }
  return {};
}

}  // namespace fastvlm::cli
