// SPDX-License-Identifier: Apache-2.0
#include "hub/part_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "base/mapped_file.h"

namespace fastvlm {
namespace {

std::filesystem::path with_suffix(std::filesystem::path path, const char* suffix) {
  path += suffix;
  return path;
}

}  // namespace

Status write_error(const std::filesystem::path& path, int reason) {
  const bool full = reason == ENOSPC || reason == EDQUOT || reason == EFBIG;
  return error(Code::kIo, cat(path.string(), ": cannot be written: ", std::strerror(reason)),
               full ? "free some space and run the same command again: it goes on where it stopped"
                    : "check the folder and its permissions");
}

PartFile::PartFile(const std::filesystem::path& target)
    : target_(target),
      path_(with_suffix(target, ".part")),
      etag_path_(with_suffix(target, ".part.etag")) {}

PartFile::~PartFile() {
  if (fd_ >= 0) ::close(fd_);
}

Status PartFile::open() {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) return write_error(path_, errno);
  std::vector<std::byte> buffer(size_t{1} << 20);
  while (true) {
    const ssize_t count = ::read(fd_, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return write_error(path_, errno);
    if (count == 0) break;
    hash_.update(std::span(buffer).first(static_cast<size_t>(count)));
    bytes_ += static_cast<uint64_t>(count);
  }
  if (bytes_ > 0) {
    if (auto etag = read_text_file(etag_path_, 4096); etag.ok()) etag_ = std::move(*etag);
  }
  return {};
}

Status PartFile::restart() {
  if (::ftruncate(fd_, 0) != 0 || ::lseek(fd_, 0, SEEK_SET) != 0) return write_error(path_, errno);
  hash_ = Sha256();
  bytes_ = 0;
  return {};
}

void PartFile::remember(const std::string& etag) {
  if (etag == etag_) return;
  etag_ = etag;
  // Only a help for resuming: when it cannot be kept, the next try starts from the beginning.
  std::ofstream(etag_path_, std::ios::trunc) << etag;
}

Status PartFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return write_error(path_, errno);
    hash_.update(bytes.first(static_cast<size_t>(count)));
    bytes = bytes.subspan(static_cast<size_t>(count));
    bytes_ += static_cast<uint64_t>(count);
  }
  return {};
}

Status PartFile::commit() {
  if (::fsync(fd_) != 0) return write_error(path_, errno);
  std::error_code failure;
  std::filesystem::rename(path_, target_, failure);
  if (failure) return write_error(target_, failure.value());
  std::filesystem::remove(etag_path_, failure);
  return {};
}

void PartFile::remove() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
  std::filesystem::remove(etag_path_, ignored);
}

bool PartFile::starts_with(std::span<const std::byte> bytes) const {
  if (bytes.size() > bytes_) return false;
  std::vector<std::byte> found(bytes.size());
  const ssize_t count = ::pread(fd_, found.data(), found.size(), 0);
  return count == static_cast<ssize_t>(bytes.size()) &&
         std::equal(bytes.begin(), bytes.end(), found.begin());
}

}  // namespace fastvlm
