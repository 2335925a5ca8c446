// SPDX-License-Identifier: Apache-2.0
#include "formats/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "base/sha256.h"

namespace fastvlm {
namespace {

constexpr std::string_view kTemporaryMark = ".partial-";

// The name as temporary files carry it. File systems take 255 bytes for one; of a name that leaves
// too few for the rest the end is replaced by a digest.
std::string short_name(const std::string& name) {
  constexpr size_t kMost = 200;
  constexpr size_t kDigest = 16;
  if (name.size() <= kMost) return name;
  size_t kept = kMost - kDigest;
  while (kept > 0 && (static_cast<unsigned char>(name[kept]) & 0xC0) == 0x80) --kept;
  return cat(name.substr(0, kept), sha256_hex(name).substr(0, kDigest));
}

// ".name.partial-<process>-<n>": hidden, and distinct among the files this process has open.
std::filesystem::path temporary_name(const std::filesystem::path& path) {
  static std::atomic<int> counter{0};
  return path.parent_path() /
         cat(".", short_name(path.filename().string()), kTemporaryMark, ::getpid(), "-", counter++);
}

// Of this file alone, not of the disk.
Status name_too_long(const std::filesystem::path& path) {
  return error(
      Code::kInvalid, cat(path.string(), ": its name is too long for this file system"),
      "write into a shorter path, give the picture a shorter name, or ask for another format");
}

// Names of temporary files for a signal handler, which may neither lock nor allocate. A name is
// taken out before it is freed; more files than slots at once are merely not listed.
std::array<std::atomic<char*>, 64> unfinished{};

int list_unfinished(const std::filesystem::path& path) {
  char* name = ::strdup(path.c_str());
  for (size_t slot = 0; slot < unfinished.size(); ++slot) {
    char* empty = nullptr;
    if (unfinished[slot].compare_exchange_strong(empty, name)) return static_cast<int>(slot);
  }
  std::free(name);
  return -1;
}

void unlist_unfinished(int slot) {
  if (slot >= 0) std::free(unfinished[static_cast<size_t>(slot)].exchange(nullptr));
}

// Where the bytes will lie at last: `path`, or what it links to.
Result<std::filesystem::path> target_of(const std::filesystem::path& path) {
  std::error_code failed;
  const std::filesystem::file_type type = std::filesystem::status(path, failed).type();
  if (failed == std::errc::filename_too_long) return name_too_long(path);
  if (path.filename().empty() || type == std::filesystem::file_type::directory) {
    return error(Code::kInvalid,
                 cat(path.string(), ": expected the name of a file, found a folder"),
                 "add a file name to the path");
  }
  const bool exists = std::filesystem::exists(std::filesystem::symlink_status(path, failed));
  if (exists && type != std::filesystem::file_type::regular &&
      type != std::filesystem::file_type::not_found) {
    return error(Code::kInvalid,
                 cat(path.string(), ": expected a file or a new name, found a device or a pipe"),
                 "name a file; it is written whole and then put in place");
  }
  if (!std::filesystem::is_symlink(path, failed)) return path;
  const std::filesystem::path target = std::filesystem::weakly_canonical(path, failed);
  if (!failed && !std::filesystem::is_symlink(target, failed)) return target;
  return error(Code::kInvalid, cat(path.string(), ": the link leads nowhere"),
               "mend or remove the link");
}

}  // namespace

void sync_folder(const std::filesystem::path& folder) noexcept {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

void remove_unfinished_files() noexcept {
  for (std::atomic<char*>& entry : unfinished) {
    if (const char* name = entry.load()) ::unlink(name);
  }
}

Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  AtomicFile file;
  FASTVLM_ASSIGN(file.path_, target_of(path));
  file.temporary_ = temporary_name(file.path_);
  file.slot_ = list_unfinished(file.temporary_);
  file.fd_ = ::open(file.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file.fd_ < 0) {
    const int reason = errno;
    unlist_unfinished(std::exchange(file.slot_, -1));
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
      fd_(std::exchange(other.fd_, -1)),
      slot_(std::exchange(other.slot_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(fd_, other.fd_);
  std::swap(slot_, other.slot_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
  unlist_unfinished(slot_);
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

Status AtomicFile::take_attributes_of(const std::filesystem::path& other) {
  struct stat info {};
  if (::stat(other.c_str(), &info) != 0) return failed("compared with what it replaces", errno);
  // The owner first: a change of owner takes special permissions away.
  struct stat own {};
  const bool same =
      ::fstat(fd_, &own) == 0 && own.st_uid == info.st_uid && own.st_gid == info.st_gid;
  if (!same && ::fchown(fd_, info.st_uid, info.st_gid) != 0 && errno != EPERM) {
    return failed("given its owner", errno);
  }
  if (::fchmod(fd_, info.st_mode & 07777) != 0) return failed("given its permissions", errno);
  const timespec times[2] = {info.st_atim, info.st_mtim};
  if (::futimens(fd_, times) != 0) return failed("given its time", errno);
  return {};
}

Status AtomicFile::commit() {
  if (::fsync(fd_) != 0 && errno != EINVAL) return failed("synced", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return failed("renamed", errno);
  unlist_unfinished(std::exchange(slot_, -1));
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) return failed("closed", errno);
  sync_folder(path_.parent_path());
  return {};
}

Status AtomicFile::failed(std::string_view what, int reason) const {
  if (reason == ENAMETOOLONG) return name_too_long(path_);
  const bool full = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
  return error(Code::kIo, cat(path_.string(), ": cannot be ", what, ": ", std::strerror(reason)),
               full ? "free some space on that disk; nothing half-written was left behind"
                    : "check the folder and its permissions");
}

void remove_abandoned_files(const std::filesystem::path& folder,
                            const std::set<std::string>& names) {
  std::set<std::string> shown;
  for (const std::string& name : names) shown.insert(short_name(name));
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failed)) {
    const std::string name = entry.path().filename().string();
    const size_t mark = name.rfind(kTemporaryMark);
    if (mark == std::string::npos || !name.starts_with('.')) continue;
    std::error_code kept;
    if (shown.contains(name.substr(1, mark - 1))) std::filesystem::remove(entry.path(), kept);
  }
}

Status write_file_atomically(const std::filesystem::path& path, std::string_view contents) {
  FASTVLM_ASSIGN(AtomicFile file, AtomicFile::create(path));
  FASTVLM_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(contents))));
  return file.commit();
}

}  // namespace fastvlm
