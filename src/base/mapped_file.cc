// SPDX-License-Identifier: Apache-2.0
#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <utility>

namespace fastvlm {
namespace {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Status open_error(const std::filesystem::path& path, int reason) {
  if (reason == ENOENT || reason == ENOTDIR) {
    return error(Code::kNotFound, cat(path.string(), ": no such file"), "check the path");
  }
  return error(Code::kIo, cat(path.string(), ": cannot be read: ", std::strerror(reason)),
               "check the file and its permissions");
}

struct OpenFile {
  int fd;
  size_t size;
};

// Opens a regular file and finds its size; the caller owns the descriptor.
Result<OpenFile> open_regular(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return open_error(path, errno);
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    const int reason = errno;
    ::close(fd);
    return open_error(path, reason);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return error(Code::kInvalid,
                 cat(path.string(), ": expected a file, found a ",
                     S_ISDIR(info.st_mode) ? "folder" : "device, pipe or socket"),
                 "name a regular file");
  }
  return OpenFile{fd, static_cast<size_t>(info.st_size)};
}

Result<std::string> read_bytes(const Descriptor& descriptor, size_t count,
                               const std::filesystem::path& path) {
  std::string text(count, '\0');
  size_t at = 0;
  while (at < text.size()) {
    const ssize_t got = ::read(descriptor.get(), text.data() + at, text.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return open_error(path, errno);
    if (got == 0) break;
    at += static_cast<size_t>(got);
  }
  text.resize(at);
  return text;
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const OpenFile file, open_regular(path));
  const Descriptor descriptor(file.fd);
  MappedFile mapped;
  mapped.path_ = path;
  mapped.size_ = file.size;
  if (file.size == 0) return mapped;
  void* data = ::mmap(nullptr, file.size, PROT_READ, MAP_PRIVATE, descriptor.get(), 0);
  if (data == MAP_FAILED) {  // NOLINT(performance-no-int-to-ptr): the system's own macro
    const int reason = errno;
    mapped.size_ = 0;
    return error(Code::kIo, cat(path.string(), ": cannot be mapped: ", std::strerror(reason)),
                 "free some address space or memory");
  }
  mapped.data_ = static_cast<const std::byte*>(data);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::release(std::span<const std::byte> part) const {
  if (part.empty()) return;
  // Only whole pages inside the part: the neighbours on its first and last page may still be
  // wanted.
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<uintptr_t>(part.data()) + page - 1) / page * page;
  const auto last = reinterpret_cast<uintptr_t>(part.data() + part.size()) / page * page;
  if (first < last) {
    ::madvise(
        const_cast<std::byte*>(part.data()) + (first - reinterpret_cast<uintptr_t>(part.data())),
        last - first, MADV_DONTNEED);
  }
}

Result<std::string> read_beginning(const std::filesystem::path& path, size_t count) {
  FASTVLM_ASSIGN(const OpenFile file, open_regular(path));
  const Descriptor descriptor(file.fd);
  return read_bytes(descriptor, std::min(count, file.size), path);
}

Result<std::string> read_text_file(const std::filesystem::path& path, size_t limit) {
  FASTVLM_ASSIGN(const OpenFile file, open_regular(path));
  const Descriptor descriptor(file.fd);
  if (file.size > limit) {
    return error(Code::kLimit,
                 cat(path.string(), ": is ", file.size, " bytes, more than the ", limit,
                     " that such a file may have"),
                 "check that this is the right file");
  }
  return read_bytes(descriptor, file.size, path);
}

}  // namespace fastvlm
