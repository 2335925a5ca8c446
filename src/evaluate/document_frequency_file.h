// SPDX-License-Identifier: Apache-2.0
// Document frequencies in a file, so that one image, or a small set, is scored against a fixed
// corpus: {"format": "fastvlm document frequencies 1", "images": N, "ngrams": {"a dog": 12, …}}.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "evaluate/cider.h"

namespace fastvlm {

Result<DocumentFrequencies> load_document_frequencies(const std::filesystem::path& path);
Status save_document_frequencies(const std::filesystem::path& path,
                                 const DocumentFrequencies& frequencies);

}  // namespace fastvlm
