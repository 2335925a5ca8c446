// SPDX-License-Identifier: Apache-2.0
// Reads the files that describe a tokenizer into plain parts, and refuses what this program would
// not follow exactly. The parts are only read here; that they fit together is checked by Tokenizer.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/bpe.h"

namespace fastvlm {

struct AddedToken {
  TokenId id;
  std::string content;  // as it stands in the text
  bool special;         // dropped by decode(skip_special)
};

struct TokenizerParts {
  std::string vocabulary_field;  // names of the sources, for messages
  std::string merges_field;
  std::string added_field;

  StringList tokens;  // in printable characters
  std::vector<TokenId> ids;
  StringList merges;  // "left right" in order of rank
  std::vector<AddedToken> added;
  bool nfc = true;
};

// tokenizer.json as the tokenizers library writes it; `name` is the file in messages.
Result<TokenizerParts> read_tokenizer_json(std::string_view json, const std::string& name);

// From a checkpoint folder: tokenizer.json, or else the older form: vocab.json and merges.txt with
// Qwen2's rules, and the added tokens of tokenizer_config.json (added_tokens_decoder) and
// added_tokens.json.
Result<TokenizerParts> read_tokenizer_folder(const std::filesystem::path& folder);

}  // namespace fastvlm
