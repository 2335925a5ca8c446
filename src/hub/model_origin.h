// SPDX-License-Identifier: Apache-2.0
// Where a model's folder comes from and under which terms, as its own files tell: the record of
// `fastvlm pull`, the model card that a hub gives with it, a licence's text.
#pragma once

#include <filesystem>
#include <string>

namespace fastvlm {

struct ModelOrigin {
  std::string source;   // repository or address; empty: not known
  std::string license;  // as hubs name it, "apple-amlr"; empty: no file states one
};

ModelOrigin model_origin(const std::filesystem::path& folder);

}  // namespace fastvlm
