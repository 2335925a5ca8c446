// SPDX-License-Identifier: Apache-2.0
// The models that `fastvlm pull` knows by short names, and how a name or address becomes a source.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

// Where a model comes from: a repository on a hub, or one file at an address (a .zip archive is
// unpacked).
struct ModelSource {
  std::string name;        // the folder name in the cache and the name for --model
  std::string repository;  // "apple/FastVLM-0.5B"; empty when it is a single file
  std::string url;         // of the single file; empty when it is a repository
  std::string tower_from;  // a repository that has the tower which this export lacks; empty when it
                           // has its own
  std::string license;     // one line, known beforehand; empty = only what the source says
  std::string about;       // one line
};

std::span<const ModelSource> model_catalog();

// "owner/name" of plain characters, as hubs allow them.
bool is_repository(std::string_view text);

// A short name of the catalogue, "owner/repository", or an https:// address of a repository page or
// file.
Result<ModelSource> find_source(std::string_view name_or_url, std::string_view hub);

inline constexpr std::string_view kDefaultHub = "https://huggingface.co";

}  // namespace fastvlm
