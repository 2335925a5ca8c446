// SPDX-License-Identifier: Apache-2.0
// Which checkpoint folder is meant: what --model says, or the default.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.h"

namespace fastvlm::cli {

struct FoundModel {
  std::filesystem::path folder;
  bool demo = false;  // the bundled toy model
};

// Whether a text can be the name of something pulled: one plain component, which does not climb out
// of the cache.
bool is_plain_name(const std::string& text);

// `name` is a folder, or the name of a pulled model. Empty: $FASTVLM_MODEL when set, else the demo
// model beside the program (in the source tree or in share/fastvlm).
Result<FoundModel> find_model(const std::string& name);

}  // namespace fastvlm::cli
