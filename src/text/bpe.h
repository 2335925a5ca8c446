// SPDX-License-Identifier: Apache-2.0
// Byte-pair merging over a vocabulary of byte strings. Goals: exact for any list of merges, n log n
// for any word, a few MB for 150,000 tokens. Non-goals: dropout, unknown tokens, whole-word caches.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

using TokenId = int32_t;
constexpr TokenId kMaxTokens = 1 << 20;  // an id is below this

// Many short strings in one buffer.
class StringList {
 public:
  void push_back(std::string_view text) {
    bytes_ += text;
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  size_t size() const { return ends_.size(); }
  std::string_view operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }
  void shrink_to_fit() {
    bytes_.shrink_to_fit();
    ends_.shrink_to_fit();
  }

 private:
  std::string bytes_;
  std::vector<uint32_t> ends_;
};

// Token bytes by id, and ids by token bytes.
class Vocabulary {
 public:
  Vocabulary() = default;
  // `tokens[i]` belongs to id i; an empty string is an id without token.
  explicit Vocabulary(StringList tokens);

  size_t size() const { return tokens_.size(); }
  // Empty for an id that has no token.
  std::string_view bytes(TokenId id) const {
    return id >= 0 && static_cast<size_t>(id) < size() ? tokens_[static_cast<size_t>(id)]
                                                       : std::string_view();
  }
  // The lowest id with these bytes.
  std::optional<TokenId> find(std::string_view bytes) const;
  // An id whose bytes are also those of a lower id, if there is one.
  std::optional<TokenId> twin() const { return twin_; }

 private:
  struct Slot {
    uint32_t hash = 0;
    TokenId id = -1;  // -1: free
  };
  // Where the bytes are, or the free slot where they would be.
  size_t slot(uint32_t hash, std::string_view bytes) const;

  StringList tokens_;
  std::vector<Slot> slots_;  // open addressing, a power of two
  std::optional<TokenId> twin_;
};

// (left, right) -> rank and result of their merge.
class MergeTable {
 public:
  struct Merge {
    uint64_t pair = kFree;
    uint32_t rank = kNone;
    TokenId result = -1;
  };
  static constexpr uint32_t kNone = UINT32_MAX;

  MergeTable() = default;
  explicit MergeTable(size_t capacity);

  bool insert(TokenId left, TokenId right, uint32_t rank, TokenId result);  // false: is there
  // rank kNone when the two do not merge.
  const Merge& find(TokenId left, TokenId right) const { return slots_[slot(key(left, right))]; }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;
  static uint64_t key(TokenId left, TokenId right) {
    return static_cast<uint64_t>(left) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot(uint64_t pair) const;

  std::vector<Merge> slots_{1};  // open addressing, a power of two
};

class Bpe {
 public:
  Bpe() = default;
  // Every byte must have a token. `merges` in order of rank, "left right" in printable characters;
  // `merges_field` and `vocabulary_field` name the two in errors.
  static Result<Bpe> make(const Vocabulary& vocabulary, const StringList& merges,
                          const std::string& vocabulary_field, const std::string& merges_field);

  // True when merging may give this id.
  bool yields(TokenId id) const { return yields_[static_cast<size_t>(id)]; }

  // Appends the tokens of one word (any bytes, at most 2^31).
  void append_word(std::string_view word, std::vector<TokenId>& ids) const;

 private:
  void append_short(std::string_view word, std::vector<TokenId>& ids) const;
  void append_long(std::string_view word, std::vector<TokenId>& ids) const;
  TokenId of_byte(char byte) const { return byte_ids_[static_cast<uint8_t>(byte)]; }

  std::array<TokenId, 256> byte_ids_{};
  MergeTable merges_;
  std::vector<bool> yields_;
};

}  // namespace fastvlm
