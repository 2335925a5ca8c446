// SPDX-License-Identifier: Apache-2.0
#include "formats/kept_lines.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "formats/atomic_file.h"

namespace fastvlm {
namespace {

// All of it, or the reason why not.
int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return 0;
}

}  // namespace

Result<std::string> visit_lines(const std::filesystem::path& path, const LineVisitor& visit) {
  std::error_code failed;
  if (std::filesystem::file_size(path, failed) == 0 && !failed) return std::string();
  FASTVLM_ASSIGN(const MappedFile file, MappedFile::open(path));
  const std::string_view text = text_of(file.bytes());
  size_t start = 0;
  for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', start)) {
    const LinePlace place{static_cast<int64_t>(start), static_cast<int64_t>(end - start)};
    FASTVLM_RETURN_IF_ERROR(visit(text.substr(start, end - start), place));
    start = end + 1;
  }
  return std::string(text.substr(start));
}

Result<std::string> read_line(const std::filesystem::path& path, LinePlace place) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string line(static_cast<size_t>(place.size), '\0');
  size_t done = 0;
  while (fd >= 0 && done < line.size()) {
    const ssize_t count = ::pread(fd, line.data() + done, line.size() - done,
                                  static_cast<off_t>(place.offset) + static_cast<off_t>(done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<size_t>(count);
  }
  if (fd >= 0) ::close(fd);
  if (fd >= 0 && done == line.size()) return line;
  return error(Code::kIo, cat(path.string(), ": cannot be read back"),
               "was it removed or changed while it was in use?");
}

Result<KeptLines> KeptLines::open(const std::filesystem::path& path) {
  KeptLines lines;
  lines.path_ = path;
  lines.fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (lines.fd_ < 0) return lines.failed(errno);
  if (::flock(lines.fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return error(Code::kIo, cat(path.string(), ": another run is writing it"),
                 "wait for that run, or give the name of a new file");
  }
  sync_folder(path.parent_path());
  return lines;
}

KeptLines::KeptLines(KeptLines&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

KeptLines& KeptLines::operator=(KeptLines&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  return *this;
}

KeptLines::~KeptLines() {
  if (fd_ >= 0) ::close(fd_);  // and the lock goes
}

Status KeptLines::drop(std::string_view torn) {
  if (torn.empty()) return {};
  const off_t end = ::lseek(fd_, 0, SEEK_END);
  if (end < 0 || ::ftruncate(fd_, end - static_cast<off_t>(torn.size())) != 0) return failed(errno);
  return {};
}

Result<LinePlace> KeptLines::append(std::string_view line) {
  const off_t before = ::lseek(fd_, 0, SEEK_END);
  if (before < 0) return failed(errno);
  int reason = write_all(fd_, cat(line, "\n"));
  if (reason == 0 && ::fsync(fd_) != 0 && errno != EINVAL) reason = errno;
  if (reason == 0) {
    return LinePlace{static_cast<int64_t>(before), static_cast<int64_t>(line.size())};
  }
  // Where not even this works, the torn line is dropped when the file is opened again.
  [[maybe_unused]] const int mended = ::ftruncate(fd_, before);
  return failed(reason);
}

Status KeptLines::failed(int reason) const {
  const bool full = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
  return error(Code::kIo, cat(path_.string(), ": cannot be written: ", std::strerror(reason)),
               full ? "free some space on that disk; what is in the file stays good"
                    : "check the folder and its permissions");
}

}  // namespace fastvlm
