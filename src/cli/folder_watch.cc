// SPDX-License-Identifier: Apache-2.0
#include "cli/folder_watch.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/strings.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR;
constexpr int kMillisecondsBetweenLooks = 500;

}  // namespace

Result<FolderWatch> FolderWatch::open(const fs::path& folder, bool recursive,
                                      std::function<bool(const fs::path&)> wanted) {
  FolderWatch watch;
  watch.folder_ = folder;
  watch.recursive_ = recursive;
  watch.wanted_ = std::move(wanted);
  watch.fd_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (watch.fd_ < 0) {
    return error(Code::kLimit, cat("inotify: ", std::strerror(errno)),
                 "other programs watch too many folders: raise fs.inotify.max_user_instances");
  }
  FASTVLM_RETURN_IF_ERROR(watch.add_folder(folder));
  watch.id_ = file_id(folder);
  return watch;
}

FolderWatch::FolderWatch(FolderWatch&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      recursive_(other.recursive_),
      folder_(std::move(other.folder_)),
      id_(std::move(other.id_)),
      wanted_(std::move(other.wanted_)),
      folder_of_(std::move(other.folder_of_)),
      queue_(std::move(other.queue_)),
      queued_(std::move(other.queued_)) {}

FolderWatch::~FolderWatch() {
  if (fd_ >= 0) ::close(fd_);
}

void FolderWatch::add_file(const fs::path& path) {
  if (queued_.insert(path).second) queue_.push_back(path);
}

// The watch comes first, so that no file falls between it and the look at what is there.
Status FolderWatch::add_folder(const fs::path& folder) {
  const int number = ::inotify_add_watch(fd_, folder.c_str(), kEvents);
  if (number < 0) {
    const int reason = errno;
    if (reason == ENOSPC) {
      return error(Code::kLimit, cat(folder.string(), ": the system watches no more folders"),
                   "raise fs.inotify.max_user_watches, or watch fewer folders");
    }
    const bool missing = reason == ENOENT || reason == ENOTDIR;
    if (missing && folder != folder_) return {};  // gone again
    return error(missing ? Code::kNotFound : Code::kIo,
                 cat(folder.string(), ": cannot be watched: ", std::strerror(reason)),
                 "name a folder that can be read");
  }
  folder_of_[number] = folder;
  std::error_code failed;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder, failed)) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  for (const fs::path& path : found) FASTVLM_RETURN_IF_ERROR(look_at(path, true));
  return {};
}

Status FolderWatch::look_at(const fs::path& path, bool finished) {
  if (path.filename().string().starts_with('.') || !wanted_(path)) return {};
  std::error_code ignored;
  const fs::file_status status = fs::symlink_status(path, ignored);
  if (fs::is_directory(status)) return recursive_ ? add_folder(path) : Status{};
  if (finished && fs::is_regular_file(fs::status(path, ignored))) add_file(path);
  return {};
}

Status FolderWatch::read_events() {
  alignas(inotify_event) std::array<char, 16384> buffer{};
  while (true) {
    const ssize_t size = ::read(fd_, buffer.data(), buffer.size());
    if (size <= 0) return {};
    for (ssize_t at = 0; at < size;) {
      inotify_event event{};
      std::memcpy(&event, buffer.data() + at, sizeof event);
      const char* name = buffer.data() + at + sizeof event;
      at += static_cast<ssize_t>(sizeof event + event.len);
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        // Events were lost; what they told of is found by looking again.
        FASTVLM_RETURN_IF_ERROR(add_folder(folder_));
        continue;
      }
      const auto folder = folder_of_.find(event.wd);
      if (folder == folder_of_.end() || event.len == 0) continue;
      const fs::path path = folder->second / name;
      const bool finished = (event.mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) != 0;
      FASTVLM_RETURN_IF_ERROR(look_at(path, finished));
    }
  }
}

// The system tells of a new name of the folder, but not of one of the folders above it.
Status FolderWatch::check_there() const {
  if (file_id(folder_) == id_) return {};
  return error(Code::kNotFound,
               cat(folder_.string(), ": was renamed or removed while it was watched"),
               "start again with its new name; what is captioned is in the journal");
}

Result<std::optional<fs::path>> FolderWatch::next(bool wait, const std::function<bool()>& stop) {
  while (true) {
    FASTVLM_RETURN_IF_ERROR(check_there());
    FASTVLM_RETURN_IF_ERROR(read_events());
    while (!queue_.empty()) {
      fs::path path = std::move(queue_.front());
      queue_.pop_front();
      queued_.erase(path);
      std::error_code ignored;
      if (fs::exists(path, ignored)) return std::optional(std::move(path));  // not renamed since
    }
    if (!wait || stop()) return std::optional<fs::path>();
    pollfd ready{fd_, POLLIN, 0};
    ::poll(&ready, 1, kMillisecondsBetweenLooks);
  }
}

}  // namespace fastvlm::cli
