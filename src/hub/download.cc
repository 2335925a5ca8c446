// SPDX-License-Identifier: Apache-2.0
#include "hub/download.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "hub/part_file.h"

namespace fastvlm {
namespace {

constexpr int kTries = 4;  // in a row without a new byte
constexpr uint64_t kSpaceReserve = uint64_t{64} << 20;
constexpr uint64_t kSpaceStep = uint64_t{16} << 20;  // between looks at the disk, size unknown

// One request: from where the part ends to the end of the file.
Status transfer(const HttpClient& client, const Download& what, PartFile& part,
                const OnProgress& on_progress) {
  if (what.bytes && part.bytes() == *what.bytes) return {};
  if (what.bytes && part.bytes() > *what.bytes) FASTVLM_RETURN_IF_ERROR(part.restart());
  FetchRequest request = what.request;
  if (part.bytes() > 0) {
    request.range = HttpRange{part.bytes(), std::nullopt};
    request.if_range = part.etag();
  }
  const std::string name = what.path.filename().string();
  std::optional<uint64_t> total = what.bytes;
  const auto on_answer = [&](const FetchAnswer& answer) -> Status {
    if (answer.status == 200 && part.bytes() > 0) FASTVLM_RETURN_IF_ERROR(part.restart());
    if (answer.total_bytes) {
      if (what.bytes && *answer.total_bytes != *what.bytes) {
        return error(Code::kInvalid,
                     cat(request.url, ": expected ", *what.bytes, " bytes, the server has ",
                         *answer.total_bytes),
                     "the source may have changed a moment ago: run the command again");
      }
      total = answer.total_bytes;
      FASTVLM_RETURN_IF_ERROR(
          check_space(what.path.parent_path(), *total - std::min(*total, part.bytes())));
    }
    part.remember(answer.etag);
    return {};
  };
  uint64_t looked_at = part.bytes();
  const auto on_bytes = [&](std::span<const std::byte> bytes) -> Status {
    const uint64_t after = part.bytes() + bytes.size();
    if (total && after > *total) {
      part.remove();
      return error(Code::kInvalid,
                   cat(request.url, ": sends more than the ", *total,
                       " bytes that it should have; the file was not kept"),
                   "the source is damaged or not what it says: check the address");
    }
    if (!total && after - looked_at >= kSpaceStep) {  // nobody knows how much is still to come
      looked_at = after;
      FASTVLM_RETURN_IF_ERROR(check_space(what.path.parent_path(), bytes.size()));
    }
    FASTVLM_RETURN_IF_ERROR(part.append(bytes));
    if (on_progress) on_progress(name, part.bytes(), total);
    return {};
  };
  const auto answer = client.get(request, on_answer, on_bytes);
  if (!answer.ok()) return answer.status();
  if (total && part.bytes() != *total) {
    return error(Code::kIo,
                 cat(request.url, ": ended after ", part.bytes(), " of ", *total, " bytes"),
                 "run the same command again: it goes on where it stopped");
  }
  return {};
}

// A file that an earlier run has finished, when its digest shows that it is the one.
std::optional<DownloadedFile> finished_before(const Download& what) {
  if (what.sha256.empty()) return std::nullopt;
  const auto file = MappedFile::open(what.path);
  if (!file.ok() || (what.bytes && file->bytes().size() != *what.bytes)) return std::nullopt;
  if (sha256_hex(file->bytes()) != what.sha256) return std::nullopt;
  return DownloadedFile{file->bytes().size(), what.sha256, true};
}

}  // namespace

Status check_space(const std::filesystem::path& folder, uint64_t bytes) {
  std::error_code failure;
  const auto space = std::filesystem::space(folder.empty() ? "." : folder, failure);
  const uint64_t available = space.available - std::min(space.available, kSpaceReserve);
  if (failure || available >= bytes) return {};
  return error(Code::kIo,
               cat(folder.string(), ": needs ", megabytes(static_cast<double>(bytes)),
                   " of free space, found ", megabytes(static_cast<double>(space.available))),
               "free some space, or set XDG_CACHE_HOME to a folder on a larger disk");
}

Result<DownloadedFile> download(const HttpClient& client, const Download& what,
                                const OnProgress& on_progress) {
  if (const auto finished = finished_before(what)) return *finished;
  std::error_code failure;
  if (what.path.has_parent_path())
    std::filesystem::create_directories(what.path.parent_path(), failure);
  if (failure) return write_error(what.path.parent_path(), failure.value());
  PartFile part(what.path);
  FASTVLM_RETURN_IF_ERROR(part.open());
  for (int tries = 1;; ++tries) {
    const uint64_t before = part.bytes();
    const Status status = transfer(client, what, part, on_progress);
    if (status.ok()) break;
    if (part.bytes() > before) tries = 1;
    const bool retry = status.code == Code::kIo && tries < kTries &&
                       !status.message.starts_with(what.path.string());
    if (!retry) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(250 << tries));
  }
  DownloadedFile file;
  file.bytes = part.bytes();
  file.sha256 = part.finish();
  if (!what.sha256.empty() && file.sha256 != what.sha256) {
    part.remove();
    return error(Code::kInvalid,
                 cat(what.request.url, ": SHA-256 expected ", what.sha256, ", found ", file.sha256,
                     "; the file was not kept"),
                 "run the command again; if it stays, the source is damaged or not what it says");
  }
  file.verified = !what.sha256.empty();
  FASTVLM_RETURN_IF_ERROR(part.commit());
  return file;
}

}  // namespace fastvlm
