// SPDX-License-Identifier: Apache-2.0
#include "hub/archive.h"

#include <zip.h>

#include <algorithm>
#include <memory>
#include <set>

#include "base/file_digest.h"
#include "hub/part_file.h"
#include "hub/weights.h"

namespace fastvlm {
namespace {

constexpr const char* kAgain = "pull again; if it stays, the archive is damaged at its source";

using Archive = std::unique_ptr<zip_t, void (*)(zip_t*)>;
using Entry = std::unique_ptr<zip_file_t, int (*)(zip_file_t*)>;

Result<Archive> open_archive(const std::filesystem::path& path) {
  int code = 0;
  Archive archive(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code), zip_discard);
  if (archive) return archive;
  zip_error_t reason;
  zip_error_init_with_code(&reason, code);
  Status status = error(
      Code::kInvalid,
      cat(path.string(), ": not a readable zip archive: ", zip_error_strerror(&reason)), kAgain);
  zip_error_fini(&reason);
  return status;
}

Result<PulledFile> unpack_entry(zip_t* archive, zip_uint64_t index, uint64_t bytes,
                                const std::filesystem::path& target,
                                const OnProgress& on_progress) {
  const Entry entry(zip_fopen_index(archive, index, 0), zip_fclose);
  const std::string name = target.filename().string();
  const auto damaged = [&](const std::string& reason) {
    return error(Code::kInvalid, cat(name, ": cannot be read from the archive: ", reason), kAgain);
  };
  if (!entry) return damaged(zip_strerror(archive));
  PartFile part(target);
  FASTVLM_RETURN_IF_ERROR(part.open());
  FASTVLM_RETURN_IF_ERROR(part.restart());
  std::vector<std::byte> buffer(size_t{1} << 20);
  // To the end of the entry and not only to its last byte: libzip compares the checksum there.
  while (true) {
    const zip_int64_t count = zip_fread(entry.get(), buffer.data(), buffer.size());
    const bool at_end = count == 0 && part.bytes() == bytes;
    if (at_end) break;
    if (count <= 0 || static_cast<uint64_t>(count) > bytes - part.bytes()) {
      return damaged(
          count < 0 ? zip_file_strerror(entry.get())
                    : cat("expected ", bytes, " bytes, found ", count == 0 ? "fewer" : "more"));
    }
    FASTVLM_RETURN_IF_ERROR(part.append(std::span(buffer).first(static_cast<size_t>(count))));
    if (on_progress) on_progress(name, part.bytes(), bytes);
  }
  PulledFile file{name, part.bytes(), part.finish(), false};
  FASTVLM_RETURN_IF_ERROR(part.commit());
  FASTVLM_RETURN_IF_ERROR(keep_weights(target, cat("archive entry ", name)));
  return file;
}

struct ArchiveEntry {
  zip_uint64_t index;
  std::string name;
  uint64_t bytes;
};

bool is_wanted(const std::string& name, const std::vector<std::string>& wanted) {
  return std::any_of(wanted.begin(), wanted.end(), [&](const std::string& one) {
    return one.ends_with('/') ? name.starts_with(one) && name != one : name == one;
  });
}

// A path that stays below the folder where it is put.
bool stays_below(const std::string& name) {
  const std::filesystem::path path(name);
  return path.is_relative() && path.has_filename() && printable(name) == name &&
         name.find('\\') == std::string::npos &&
         std::none_of(path.begin(), path.end(), [](const auto& part) { return part == ".."; });
}

Result<std::vector<ArchiveEntry>> wanted_entries(zip_t* archive, const std::string& name,
                                                 const std::vector<std::string>& wanted) {
  std::vector<ArchiveEntry> entries;
  const zip_int64_t count = zip_get_num_entries(archive, 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    zip_stat_t stat;
    const auto index = static_cast<zip_uint64_t>(i);
    if (zip_stat_index(archive, index, 0, &stat) != 0 || (stat.valid & ZIP_STAT_SIZE) == 0)
      continue;
    std::string path = stat.name;
    if (!is_wanted(path, wanted) || path.ends_with('/')) continue;
    if (!stays_below(path)) {
      return error(Code::kInvalid, cat(name, ": holds `", path, "`, which cannot be used"), kAgain);
    }
    entries.push_back({index, std::move(path), stat.size});
  }
  for (const std::string& one : wanted) {
    const bool found = std::any_of(entries.begin(), entries.end(), [&](const ArchiveEntry& entry) {
      return is_wanted(entry.name, {one});
    });
    if (!found) return error(Code::kInvalid, cat(name, ": expected ", one, ", found none"), kAgain);
  }
  return entries;
}

}  // namespace

bool is_model_file(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  if (name.empty() || name.front() == '.') return false;
  if (name.ends_with(".safetensors") || name.starts_with("LICENSE") || name == "README.md")
    return true;
  if (name == "merges.txt" || name.ends_with(".jinja")) return true;
  return name.ends_with(".json") && name != "trainer_state.json" && name != kRecordFile;
}

Result<std::vector<PulledFile>> unpack_model(const std::filesystem::path& path,
                                             const std::filesystem::path& folder,
                                             const OnProgress& on_progress) {
  FASTVLM_ASSIGN(const Archive archive, open_archive(path));
  struct Wanted {
    zip_uint64_t index;
    std::string name;
    uint64_t bytes;
  };
  std::vector<Wanted> wanted;
  std::set<std::string> names;
  uint64_t total = 0;
  const zip_int64_t entries = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < entries; ++i) {
    zip_stat_t stat;
    const auto index = static_cast<zip_uint64_t>(i);
    if (zip_stat_index(archive.get(), index, 0, &stat) != 0 || (stat.valid & ZIP_STAT_SIZE) == 0)
      continue;
    const std::string full = stat.name;
    // Inner folders (a CoreML package, __MACOSX) are not the checkpoint's own files.
    if (!is_model_file(full) || std::count(full.begin(), full.end(), '/') > 1 ||
        full.starts_with("__MACOSX"))
      continue;
    std::string name = full.substr(full.rfind('/') + 1);
    if (name.find('\\') != std::string::npos || printable(name) != name ||
        !names.insert(name).second) {
      return error(
          Code::kInvalid,
          cat(path.string(), ": holds `", full, "` twice or under a name that cannot be used"),
          "fetch it with another program, unpack it by hand and use --model FOLDER");
    }
    if (__builtin_add_overflow(total, uint64_t{stat.size}, &total)) total = UINT64_MAX;
    wanted.push_back({index, std::move(name), stat.size});
  }
  const bool has_weights = std::any_of(wanted.begin(), wanted.end(), [](const Wanted& entry) {
    return entry.name.ends_with(".safetensors");
  });
  if (!has_weights) {
    return error(
        Code::kInvalid,
        cat(path.string(), ": expected a checkpoint (config.json, *.safetensors), found none in ",
            entries, " entries"),
        "check the address");
  }
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  FASTVLM_RETURN_IF_ERROR(check_space(folder, total));
  std::vector<PulledFile> files;
  for (const Wanted& entry : wanted) {
    auto file =
        unpack_entry(archive.get(), entry.index, entry.bytes, folder / entry.name, on_progress);
    if (!file.ok()) {
      PartFile(folder / entry.name).remove();
      for (const PulledFile& done : files) std::filesystem::remove(folder / done.path, ignored);
      return file.status();
    }
    files.push_back(std::move(*file));
  }
  return files;
}

Result<std::vector<PulledFile>> unpack_files(const std::filesystem::path& path,
                                             const std::filesystem::path& folder,
                                             const std::vector<std::string>& wanted,
                                             const OnProgress& on_progress) {
  FASTVLM_ASSIGN(const Archive archive, open_archive(path));
  FASTVLM_ASSIGN(const std::vector<ArchiveEntry> entries,
                 wanted_entries(archive.get(), path.filename().string(), wanted));
  std::vector<PulledFile> files;
  uint64_t done = 0;
  uint64_t total = 0;
  for (const ArchiveEntry& entry : entries) total += entry.bytes;
  FASTVLM_RETURN_IF_ERROR(check_space(folder, total));
  for (const ArchiveEntry& entry : entries) {
    const std::filesystem::path target = folder / entry.name;
    std::error_code failed;
    std::filesystem::create_directories(target.parent_path(), failed);
    const bool there = std::filesystem::file_size(target, failed) == entry.bytes && !failed;
    PulledFile file{entry.name, entry.bytes, "", false};
    if (there) {
      FASTVLM_ASSIGN(file.sha256, sha256_of_file(target));
    } else {
      FASTVLM_ASSIGN(file, unpack_entry(archive.get(), entry.index, entry.bytes, target, {}));
      file.path = entry.name;
    }
    done += entry.bytes;
    if (on_progress) on_progress(cat("unpacking ", path.filename().string()), done, total);
    files.push_back(std::move(file));
  }
  return files;
}

}  // namespace fastvlm
