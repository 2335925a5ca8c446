// SPDX-License-Identifier: Apache-2.0
#include "text/bpe.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "base/strings.h"
#include "text/hints.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

constexpr size_t kShortWord = 32;  // bytes; below, scanning for the best pair beats a heap

// A power of two that keeps a table of `count` entries at most 2/3 full.
size_t table_size(size_t count) {
  size_t size = 2;
  while (size < count + count / 2 + 1) size *= 2;
  return size;
}

uint64_t scrambled(uint64_t value) {
  value *= 0x9E3779B97F4A7C15U;
  return value ^ value >> 32;
}

uint32_t hash_of(std::string_view bytes) {
  return static_cast<uint32_t>(std::hash<std::string_view>()(bytes));
}

Status merge_error(const std::string& field, size_t rank, std::string_view merge,
                   const std::string& what) {
  return error(Code::kInvalid, cat(field, '[', rank, "] \"", excerpt(merge), "\": ", what),
               kTakeOriginal);
}

}  // namespace

Vocabulary::Vocabulary(StringList tokens)
    : tokens_(std::move(tokens)), slots_(table_size(tokens_.size())) {
  tokens_.shrink_to_fit();
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].empty()) continue;
    const uint32_t hash = hash_of(tokens_[i]);
    Slot& found = slots_[slot(hash, tokens_[i])];
    if (found.id < 0) {
      found = {hash, static_cast<TokenId>(i)};
    } else {
      twin_ = static_cast<TokenId>(i);
    }
  }
}

size_t Vocabulary::slot(uint32_t hash, std::string_view bytes) const {
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  while (slots_[i].id >= 0 && (slots_[i].hash != hash || this->bytes(slots_[i].id) != bytes)) {
    i = (i + 1) & mask;
  }
  return i;
}

std::optional<TokenId> Vocabulary::find(std::string_view bytes) const {
  if (bytes.empty() || slots_.empty()) return std::nullopt;
  const Slot& found = slots_[slot(hash_of(bytes), bytes)];
  if (found.id < 0) return std::nullopt;
  return found.id;
}

MergeTable::MergeTable(size_t capacity) : slots_(table_size(capacity)) {}

size_t MergeTable::slot(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  size_t i = scrambled(pair) & mask;
  while (slots_[i].pair != pair && slots_[i].pair != kFree) i = (i + 1) & mask;
  return i;
}

bool MergeTable::insert(TokenId left, TokenId right, uint32_t rank, TokenId result) {
  Merge& merge = slots_[slot(key(left, right))];
  if (merge.pair != kFree) return false;
  merge = {key(left, right), rank, result};
  return true;
}

Result<Bpe> Bpe::make(const Vocabulary& vocabulary, const StringList& merges,
                      const std::string& vocabulary_field, const std::string& merges_field) {
  Bpe bpe;
  bpe.yields_.resize(vocabulary.size());
  for (size_t byte = 0; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    const auto id = vocabulary.find(text);
    if (!id) {
      return error(Code::kInvalid,
                   cat(vocabulary_field, ": expected a token for each byte, found none for byte ",
                       byte, " (\"", printable_from_bytes(text), "\")"),
                   kTakeOriginal);
    }
    bpe.byte_ids_[byte] = *id;
    bpe.yields_[static_cast<size_t>(*id)] = true;
  }
  bpe.merges_ = MergeTable(merges.size());
  // Vocabularies list the results of merges in their order, so that the next id is a good guess.
  TokenId next = 0;
  const auto find_merged = [&](std::string_view left, std::string_view right) {
    const std::string_view guess = vocabulary.bytes(next);
    const bool right_guess = !vocabulary.twin() && guess.size() == left.size() + right.size() &&
                             guess.starts_with(left) && guess.ends_with(right);
    return right_guess ? std::optional(next) : vocabulary.find(cat(left, right));
  };
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const size_t space = merge.find(' ');
    if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos) {
      return merge_error(merges_field, rank, merge, "expected two tokens and one space");
    }
    const auto left_bytes = bytes_from_printable(merge.substr(0, space));
    const auto right_bytes = bytes_from_printable(merge.substr(space + 1));
    const auto left = left_bytes ? vocabulary.find(*left_bytes) : std::nullopt;
    const auto right = right_bytes ? vocabulary.find(*right_bytes) : std::nullopt;
    if (!left || !right) {
      return merge_error(merges_field, rank, merge,
                         cat("the ", left ? "right" : "left", " token is not in the vocabulary"));
    }
    const auto result = find_merged(*left_bytes, *right_bytes);
    if (!result) {
      return merge_error(merges_field, rank, merge, "the merged token is not in the vocabulary");
    }
    if (!bpe.merges_.insert(*left, *right, static_cast<uint32_t>(rank), *result)) {
      return merge_error(merges_field, rank, merge, "is there twice");
    }
    bpe.yields_[static_cast<size_t>(*result)] = true;
    next = *result + 1;
  }
  return bpe;
}

void Bpe::append_word(std::string_view word, std::vector<TokenId>& ids) const {
  if (word.size() <= kShortWord) {
    append_short(word, ids);
  } else {
    append_long(word, ids);
  }
}

void Bpe::append_short(std::string_view word, std::vector<TokenId>& ids) const {
  std::array<TokenId, kShortWord> tokens;
  std::array<MergeTable::Merge, kShortWord> merges;  // [i]: of tokens i and i + 1
  size_t count = word.size();
  const auto look_up = [&](size_t i) { merges[i] = merges_.find(tokens[i], tokens[i + 1]); };
  for (size_t i = 0; i < count; ++i) tokens[i] = of_byte(word[i]);
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == MergeTable::kNone) break;
    tokens[best] = merges[best].result;
    for (size_t i = best + 1; i + 1 < count; ++i) tokens[i] = tokens[i + 1];
    for (size_t i = best + 1; i + 2 < count; ++i) merges[i] = merges[i + 1];
    --count;
    if (best > 0) look_up(best - 1);
    if (best + 1 < count) look_up(best);
  }
  ids.insert(ids.end(), tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(count));
}

void Bpe::append_long(std::string_view word, std::vector<TokenId>& ids) const {
  struct Node {
    TokenId token;  // -1 once merged into its left neighbour
    uint32_t previous;
    uint32_t next;
  };
  const auto count = static_cast<uint32_t>(word.size());
  const uint32_t none = count;
  std::vector<Node> nodes(count);
  std::vector<uint64_t> candidates;  // rank << 32 | left node: the lowest rank, leftmost first
  candidates.reserve(count);
  const auto merge_at = [&](uint32_t i) -> MergeTable::Merge {
    if (nodes[i].token < 0 || nodes[i].next == none) return {};
    return merges_.find(nodes[i].token, nodes[nodes[i].next].token);
  };
  for (uint32_t i = 0; i < count; ++i) nodes[i] = {of_byte(word[i]), i == 0 ? none : i - 1, i + 1};
  const auto candidate = [&](uint32_t i) { return uint64_t{merge_at(i).rank} << 32 | i; };
  const auto possible = [](uint64_t value) { return value >> 32 != MergeTable::kNone; };
  for (uint32_t i = 0; i < count; ++i) {
    if (const uint64_t value = candidate(i); possible(value)) candidates.push_back(value);
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue(std::greater<>(),
                                                                             std::move(candidates));
  while (!queue.empty()) {
    const uint64_t top = queue.top();
    queue.pop();
    const auto left = static_cast<uint32_t>(top);
    const MergeTable::Merge merge = merge_at(left);
    if (merge.rank != top >> 32) continue;  // one of the two was merged meanwhile
    Node& node = nodes[left];
    nodes[node.next].token = -1;
    node.token = merge.result;
    node.next = nodes[node.next].next;
    if (node.next != none) nodes[node.next].previous = left;
    if (const uint64_t value = candidate(left); possible(value)) queue.push(value);
    if (node.previous == none) continue;
    if (const uint64_t value = candidate(node.previous); possible(value)) queue.push(value);
  }
  for (uint32_t i = 0; i != none; i = nodes[i].next) ids.push_back(nodes[i].token);
}

}  // namespace fastvlm
