// SPDX-License-Identifier: Apache-2.0
// Only the vision tower out of a large checkpoint on a server: the safetensors header is read with
// one HTTP range request, then only the bytes of the tower's tensors, into a safetensors file of
// their own.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "hub/cache.h"
#include "hub/download.h"
#include "hub/http.h"

namespace fastvlm {

// Fetches every tensor whose name contains "vision_tower" from the safetensors files at `shards`
// (all shards of one checkpoint) into `path`, under its original name. Resumable. The result is
// never `verified`: publishers give digests of whole files only.
Result<PulledFile> fetch_tower(const HttpClient& client, const std::vector<FetchRequest>& shards,
                               const std::filesystem::path& path, const OnProgress& on_progress);

}  // namespace fastvlm
