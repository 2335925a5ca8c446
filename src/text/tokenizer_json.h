// SPDX-License-Identifier: Apache-2.0
// JSON of a tokenizer, parsed without building a tree of its 300,000 strings: the vocabulary and
// the merges go straight to compact lists, the rest becomes an ordinary json value.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/tokenizer_files.h"

namespace fastvlm {

enum class TokenizerDocument {
  kTokenizer,   // model.vocab and model.merges go to the parts
  kVocabulary,  // the whole document is the vocabulary
  kPlain,       // nothing goes to the parts
};

// Fills tokens, ids and merges of `parts`; returns what is left of the document. Errors: not JSON,
// nested deeper than 16, keys repeated, a vocabulary or merges of the wrong types.
Result<nlohmann::json> parse_tokenizer_json(std::string_view text, const std::string& name,
                                            TokenizerDocument document, TokenizerParts& parts);

}  // namespace fastvlm
