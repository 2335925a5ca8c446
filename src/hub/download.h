// SPDX-License-Identifier: Apache-2.0
// One file from a URL to a path: resumable, checked, never half-written. While it is under way the
// bytes are in
// `<path>.part` (and the server's ETag in `<path>.part.etag`); only a complete, checked file gets
// the name `path`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "hub/http.h"

namespace fastvlm {

struct Download {
  FetchRequest request;
  std::filesystem::path path;
  std::optional<uint64_t> bytes;  // what the source publishes: nothing more is kept
  std::string sha256;             // likewise; empty = not published
};

struct DownloadedFile {
  uint64_t bytes = 0;
  std::string sha256;     // of what arrived
  bool verified = false;  // whether it was compared with a published digest
};

// Called as bytes arrive: done so far and the total where known.
using OnProgress =
    std::function<void(const std::string& file, uint64_t done, std::optional<uint64_t> total)>;

Result<DownloadedFile> download(const HttpClient& client, const Download& what,
                                const OnProgress& on_progress);

// Refuses when the file system of `folder` has less than `bytes` (and a little) free.
Status check_space(const std::filesystem::path& folder, uint64_t bytes);

}  // namespace fastvlm
