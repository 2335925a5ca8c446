// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back: the byte-level BPE of Qwen2 models.
// Goals: the ids of Hugging Face's Qwen2 tokenizer, id for id; text of an end user never yields a
// control token; a malformed file or a hostile text ends in an error. Non-goals: training a
// vocabulary, other tokenizer families (refused by name).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "text/bpe.h"
#include "text/splitter.h"
#include "text/tokenizer_files.h"

namespace fastvlm {

// Who wrote a text.
enum class Trust {
  kTrusted,  // we did: added tokens such as <|im_end|> are recognised
  kUser,     // somebody else did: added tokens are text like any other
};

// Immutable once loaded; any number of threads may use one.
class Tokenizer {
 public:
  // From a checkpoint folder: tokenizer.json, or else vocab.json and merges.txt.
  static Result<Tokenizer> load(const std::filesystem::path& folder);
  // From the text of a tokenizer.json; `name` is the file in messages.
  static Result<Tokenizer> from_json(std::string_view tokenizer_json, const std::string& name);

  // Bytes that are not UTF-8 are read as U+FFFD. Fails on more than 64 MiB.
  Result<std::vector<TokenId>> encode(std::string_view text, Trust trust) const;

  // The bytes of the tokens joined, U+FFFD in place of what is not UTF-8. Ids without a token (the
  // padding rows of an embedding, image holes) say nothing. `skip_special` drops special tokens
  // before the bytes are joined.
  std::string decode(std::span<const TokenId> ids, bool skip_special) const;

  // What the token stands for (raw bytes, perhaps a part of a character); empty for no token.
  std::string_view token_bytes(TokenId id) const { return vocabulary_.bytes(id); }
  size_t vocab_size() const { return vocabulary_.size(); }  // the highest id + 1
  // The token that stands for exactly these bytes, added tokens included.
  std::optional<TokenId> find(std::string_view bytes) const { return vocabulary_.find(bytes); }
  bool is_added(TokenId id) const { return added(id) != nullptr; }
  bool is_special(TokenId id) const;

 private:
  Tokenizer(Bpe bpe, Splitter splitter) : bpe_(std::move(bpe)), splitter_(std::move(splitter)) {}

  static Result<Tokenizer> make(TokenizerParts parts);
  const AddedToken* added(TokenId id) const;
  // The longest added token that `text` starts with.
  const AddedToken* added_at(std::string_view text) const;
  Status append_plain(std::string_view text, std::vector<TokenId>& ids) const;

  Vocabulary vocabulary_;  // added tokens included
  Bpe bpe_;
  Splitter splitter_;
  bool nfc_ = true;
  std::vector<AddedToken> added_;     // in order of id
  std::vector<uint32_t> by_content_;  // indices into added_, in order of content
};

// Decodes ids as they come and gives out whole characters only: what push() and finish() return,
// joined, is decode() of all ids. The tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  std::string push(TokenId id);
  // The end of the ids: U+FFFD when a character was left unfinished. The decoder is then as new.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string pending_;  // the beginning of a character, at most 3 bytes
};

}  // namespace fastvlm
