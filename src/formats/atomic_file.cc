// SPDX-License-Identifier: Apache-2.0
#include "formats/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace fastvlm {
namespace {

// ".name.partial-<process>-<n>": hidden, and distinct among the files this process has open.
std::filesystem::path temporary_name(const std::filesystem::path& path) {
  static std::atomic<int> counter{0};
  return path.parent_path() /
         cat(".", path.filename().string(), ".partial-", ::getpid(), "-", counter++);
}

// Makes the rename itself durable. Some file systems cannot sync a folder; the file is whole
// either way.
void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  AtomicFile file;
  file.path_ = path;
  std::error_code ignored;
  if (path.filename().empty() || std::filesystem::is_directory(path, ignored)) {
    return error(Code::kInvalid,
                 cat(path.string(), ": expected the name of a file, found a folder"),
                 "add a file name to the path");
  }
  file.temporary_ = temporary_name(path);
  file.fd_ = ::open(file.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file.fd_ < 0) {
    const int reason = errno;
    if (reason == ENOENT) {
      return error(Code::kNotFound, cat(path.string(), ": its folder does not exist"),
                   "create the folder first");
    }
    return file.failed("created", reason);
  }
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(fd_, other.fd_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
}

Status AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed("written", errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return {};
}

Status AtomicFile::commit() {
  if (::fsync(fd_) != 0 && errno != EINVAL) return failed("synced", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return failed("renamed", errno);
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) return failed("closed", errno);
  sync_folder(path_.parent_path());
  return {};
}

Status AtomicFile::failed(std::string_view what, int reason) const {
  const bool full = reason == ENOSPC || reason == EDQUOT;
  return error(Code::kIo, cat(path_.string(), ": cannot be ", what, ": ", std::strerror(reason)),
               full ? "free some space on that disk; nothing half-written was left behind"
                    : "check the folder and its permissions");
}

Status write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  FASTVLM_ASSIGN(AtomicFile file, AtomicFile::create(path));
  FASTVLM_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(contents))));
  return file.commit();
}

}  // namespace fastvlm
