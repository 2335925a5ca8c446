// SPDX-License-Identifier: Apache-2.0
// Where drafts are learnt from: captions that were written before, as files of this program or of
// others.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace fastvlm {

// The table of drafts that belongs to a model, in its folder.
inline constexpr char kDraftsFileName[] = "captions.drafts";

// The texts of a journal's captions, or of JSON lines with a "text" or a "caption". kInvalid: a
// line that is neither, or no text at all.
Result<std::vector<std::string>> read_draft_texts(const std::filesystem::path& file);

// Says which ids stand for which bytes: the SHA-256 of all tokens.
std::string vocabulary_digest(const Tokenizer& tokenizer);

}  // namespace fastvlm
