// SPDX-License-Identifier: Apache-2.0
#include "caption/token_cache.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "caption/token_file.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".tokens";
constexpr size_t kKeyLength = 64;
constexpr int kWritesBetweenLooks = 64;
// What a process that was killed left half-written; nobody writes one for so long.
constexpr std::chrono::hours kAbandoned{1};

int64_t bytes_of(const Tokens& tokens) {
  return static_cast<int64_t>(tokens.values.size() * sizeof(float));
}

// "<key>.tokens", or what such a file is called while it is written: nothing else in the folder is
// touched.
bool is_ours(std::string_view name) {
  const bool temporary = name.starts_with('.');
  if (temporary) name.remove_prefix(1);
  const std::string_view key = name.substr(0, std::min(name.size(), kKeyLength));
  return key.size() == kKeyLength &&
         key.find_first_not_of("0123456789abcdef") == std::string_view::npos &&
         (temporary ? name.substr(kKeyLength).starts_with(kEnding)
                    : name.substr(kKeyLength) == kEnding);
}

}  // namespace

Status TokenCache::prepare() {
  if (!on_disk()) return {};
  std::error_code failed;
  fs::create_directories(options_.folder, failed);
  if (fs::is_directory(options_.folder, failed) &&
      ::access(options_.folder.c_str(), R_OK | W_OK | X_OK) == 0) {
    return {};
  }
  return error(Code::kIo,
               cat(options_.folder.string(),
                   ": expected a folder for tokens that can be written, "
                   "found none"),
               "check its path and permissions, or leave --token-cache out");
}

fs::path TokenCache::file_of(const std::string& key) const {
  return options_.folder / cat(key, kEnding);
}

std::optional<Tokens> TokenCache::find(const std::string& key, int64_t count, int64_t width) {
  std::optional<Tokens> found = in_memory(key);
  if (found && found->count == count && found->width == width) return found;
  if (!on_disk()) return std::nullopt;
  found = in_folder(key, count, width);
  if (found) keep_in_memory(key, *found);
  return found;
}

void TokenCache::put(const std::string& key, const Tokens& tokens) {
  keep_in_memory(key, tokens);
  if (!on_disk()) return;
  const Status written = write(key, tokens);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!written.ok() && trouble_.ok()) trouble_ = written;
}

Status TokenCache::trouble() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return trouble_;
}

std::optional<Tokens> TokenCache::in_memory(const std::string& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->second;
}

void TokenCache::keep_in_memory(const std::string& key, const Tokens& tokens) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (bytes_of(tokens) > options_.memory_bytes || by_key_.contains(key)) return;
  entries_.emplace_front(key, tokens);
  by_key_[key] = entries_.begin();
  for (bytes_ += bytes_of(tokens); bytes_ > options_.memory_bytes; entries_.pop_back()) {
    bytes_ -= bytes_of(entries_.back().second);
    by_key_.erase(entries_.back().first);
  }
}

std::optional<Tokens> TokenCache::in_folder(const std::string& key, int64_t count,
                                            int64_t width) const {
  const fs::path path = file_of(key);
  auto tokens = read_tokens(path, count, width);
  if (!tokens.ok()) return std::nullopt;  // there is none, or it is as good as none
  std::error_code ignored;                // the time of a file is when it was used last
  fs::last_write_time(path, fs::file_time_type::clock::now(), ignored);
  return std::move(*tokens);
}

Status TokenCache::write(const std::string& key, const Tokens& tokens) {
  if (bytes_of(tokens) > options_.folder_bytes) return {};
  std::error_code ignored;
  if (fs::is_symlink(file_of(key), ignored)) return {};  // whatever it leads to is not ours
  FASTVLM_RETURN_IF_ERROR(write_tokens(file_of(key), tokens));
  const std::lock_guard<std::mutex> lock(mutex_);
  if (folder_bytes_ >= 0) folder_bytes_ += bytes_of(tokens);
  if (folder_bytes_ >= 0 && folder_bytes_ <= options_.folder_bytes && --writes_until_look_ > 0) {
    return {};
  }
  writes_until_look_ = kWritesBetweenLooks;
  return make_room();
}

// Looks through the folder and removes the files that were not used for longest. Another process
// may do the same: a file that is gone is what both wanted.
Status TokenCache::make_room() {
  struct Found {
    fs::file_time_type used;
    fs::path path;
    int64_t bytes;
  };
  std::vector<Found> files;
  std::error_code failed;
  folder_bytes_ = 0;
  const auto now = fs::file_time_type::clock::now();
  for (const auto& entry : fs::directory_iterator(options_.folder, failed)) {
    const std::string name = entry.path().filename().string();
    std::error_code gone;
    const auto used = entry.last_write_time(gone);
    const auto bytes = static_cast<int64_t>(entry.file_size(gone));
    if (gone || !is_ours(name)) continue;
    if (!name.starts_with('.')) {
      files.push_back({used, entry.path(), bytes});
      folder_bytes_ += bytes;
    } else if (now - used > kAbandoned) {
      fs::remove(entry.path(), gone);
    }
  }
  if (failed) {
    return error(Code::kIo, cat(options_.folder.string(), ": cannot be read: ", failed.message()),
                 "check the folder for tokens and its permissions");
  }
  if (folder_bytes_ <= options_.folder_bytes) return {};
  std::sort(files.begin(), files.end(), [](const Found& a, const Found& b) {
    return a.used != b.used ? a.used < b.used : a.path < b.path;
  });
  // A tenth at a time, so that not every picture has the folder looked through; never the latest.
  const int64_t goal = options_.folder_bytes - options_.folder_bytes / 10;
  for (size_t i = 0; i + 1 < files.size() && folder_bytes_ > goal; ++i) {
    std::error_code gone;
    fs::remove(files[i].path, gone);
    folder_bytes_ -= files[i].bytes;
  }
  return {};
}

}  // namespace fastvlm
