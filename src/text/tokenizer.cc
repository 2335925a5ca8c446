// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "base/strings.h"
#include "text/hints.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

constexpr size_t kMaxTextBytes = size_t{64} << 20;

// The added token with this id in a list sorted by id; null for none.
const AddedToken* find_added(const std::vector<AddedToken>& added, TokenId id) {
  const auto found = std::lower_bound(added.begin(), added.end(), id,
                                      [](const AddedToken& a, TokenId b) { return a.id < b; });
  return found != added.end() && found->id == id ? &*found : nullptr;
}

// Sorts the added tokens by id and makes sure that each id and each content is there once.
Status sort_added(TokenizerParts& parts) {
  auto& added = parts.added;
  const auto refuse_twins = [&](auto same) -> Status {
    const auto twin = std::adjacent_find(added.begin(), added.end(), same);
    if (twin == added.end()) return {};
    const AddedToken& other = twin[1];
    return error(Code::kInvalid,
                 cat(parts.added_field, ": expected each id and text once, found \"", twin->content,
                     "\" = ", twin->id, " and \"", excerpt(other.content), "\" = ", other.id),
                 kTakeOriginal);
  };
  std::sort(added.begin(), added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.content < b.content; });
  FASTVLM_RETURN_IF_ERROR(refuse_twins(
      [](const AddedToken& a, const AddedToken& b) { return a.content == b.content; }));
  std::sort(added.begin(), added.end(),
            [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
  return refuse_twins([](const AddedToken& a, const AddedToken& b) { return a.id == b.id; });
}

// One line of the vocabulary that is wrong.
Status entry_error(const TokenizerParts& parts, size_t entry, const std::string& what) {
  return error(Code::kInvalid,
               cat(parts.vocabulary_field, ": \"", excerpt(parts.tokens[entry]),
                   "\" = ", parts.ids[entry], ": ", what),
               kTakeOriginal);
}

// The entry of the vocabulary for each id up to the highest; kNoEntry where there is none.
constexpr size_t kNoEntry = SIZE_MAX;
Result<std::vector<size_t>> entries_by_id(const TokenizerParts& parts) {
  TokenId highest = parts.added.empty() ? -1 : parts.added.back().id;
  for (const TokenId id : parts.ids) highest = std::max(highest, id);
  std::vector<size_t> entries(static_cast<size_t>(highest + 1), kNoEntry);
  for (size_t i = 0; i < parts.ids.size(); ++i) {
    size_t& entry = entries[static_cast<size_t>(parts.ids[i])];
    if (entry != kNoEntry) return entry_error(parts, i, "the id is there twice");
    entry = i;
  }
  return entries;
}

// All tokens by id, as bytes. A vocabulary may list an added token too, under the same id.
Result<Vocabulary> make_vocabulary(const TokenizerParts& parts) {
  FASTVLM_ASSIGN(const std::vector<size_t> entries, entries_by_id(parts));
  StringList tokens;
  for (size_t id = 0; id < entries.size(); ++id) {
    const size_t entry = entries[id];
    if (const AddedToken* added = find_added(parts.added, static_cast<TokenId>(id))) {
      if (entry != kNoEntry && parts.tokens[entry] != added->content) {
        return entry_error(parts, entry, "the id is also an added token's");
      }
      tokens.push_back(added->content);
    } else if (entry == kNoEntry) {
      tokens.push_back("");
    } else {
      const auto bytes = bytes_from_printable(parts.tokens[entry]);
      if (!bytes || bytes->empty()) {
        return entry_error(parts, entry, "expected byte-level characters");
      }
      tokens.push_back(*bytes);
    }
  }
  Vocabulary vocabulary(std::move(tokens));
  if (const auto twin = vocabulary.twin()) {
    const std::string_view bytes = vocabulary.bytes(*twin);
    return error(Code::kInvalid,
                 cat(parts.vocabulary_field, ": expected each token once, found \"",
                     excerpt(printable_from_bytes(bytes)), "\" as ", *vocabulary.find(bytes),
                     " and ", *twin),
                 kTakeOriginal);
  }
  return vocabulary;
}

}  // namespace

Result<Tokenizer> Tokenizer::make(TokenizerParts parts) {
  FASTVLM_RETURN_IF_ERROR(sort_added(parts));
  FASTVLM_ASSIGN(Vocabulary vocabulary, make_vocabulary(parts));
  FASTVLM_ASSIGN(Bpe bpe,
                 Bpe::make(vocabulary, parts.merges, parts.vocabulary_field, parts.merges_field));
  // What keeps users' text apart from control tokens: no merge ever gives one.
  for (const AddedToken& token : parts.added) {
    if (bpe.yields(token.id)) {
      return error(Code::kUnsupported,
                   cat(parts.added_field, ": \"", excerpt(token.content),
                       "\" is also what plain text may become by merging"),
                   kTakeOriginal);
    }
  }
  FASTVLM_ASSIGN(Splitter splitter, Splitter::make());
  Tokenizer tokenizer(std::move(bpe), std::move(splitter));
  tokenizer.vocabulary_ = std::move(vocabulary);
  tokenizer.nfc_ = parts.nfc;
  tokenizer.added_ = std::move(parts.added);
  auto& order = tokenizer.by_content_;
  order.resize(tokenizer.added_.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return tokenizer.added_[a].content < tokenizer.added_[b].content;
  });
  return tokenizer;
}

Result<Tokenizer> Tokenizer::load(const std::filesystem::path& folder) {
  FASTVLM_ASSIGN(TokenizerParts parts, read_tokenizer_folder(folder));
  return make(std::move(parts));
}

Result<Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json, const std::string& name) {
  FASTVLM_ASSIGN(TokenizerParts parts, read_tokenizer_json(tokenizer_json, name));
  return make(std::move(parts));
}

const AddedToken* Tokenizer::added(TokenId id) const {
  return find_added(added_, id);
}

bool Tokenizer::is_special(TokenId id) const {
  const AddedToken* token = added(id);
  return token != nullptr && token->special;
}

const AddedToken* Tokenizer::added_at(std::string_view text) const {
  // Byte by byte the range of tokens that begin like `text` narrows. One that ends here is the
  // first of its range, and the last one met is the longest.
  const AddedToken* longest = nullptr;
  auto first = by_content_.begin();
  auto last = by_content_.end();
  for (size_t depth = 0; first != last; ++depth) {
    if (added_[*first].content.size() == depth) longest = &added_[*first++];
    if (depth == text.size()) break;
    const auto byte_of = [&](uint32_t i) { return static_cast<uint8_t>(added_[i].content[depth]); };
    const auto byte = static_cast<uint8_t>(text[depth]);
    first = std::ranges::lower_bound(first, last, byte, {}, byte_of);
    last = std::ranges::upper_bound(first, last, byte, {}, byte_of);
  }
  return longest;
}

Status Tokenizer::append_plain(std::string_view text, std::vector<TokenId>& ids) const {
  FASTVLM_ASSIGN(const std::vector<uint32_t> ends, splitter_.piece_ends(text));
  size_t begin = 0;
  for (const uint32_t end : ends) {
    bpe_.append_word(text.substr(begin, end - begin), ids);
    begin = end;
  }
  return {};
}

Result<std::vector<TokenId>> Tokenizer::encode(std::string_view text, Trust trust) const {
  if (text.size() > kMaxTextBytes) {
    return error(Code::kLimit,
                 cat("text: expected at most ", kMaxTextBytes, " bytes, found ", text.size()),
                 "shorten the text");
  }
  std::string normal = with_replacements(text);
  if (nfc_) normal = nfc(normal);
  const std::string_view view = normal;
  std::vector<TokenId> ids;
  size_t begin = 0;
  for (size_t at = 0; trust == Trust::kTrusted && at < view.size();) {
    const AddedToken* token = added_at(view.substr(at));
    if (token == nullptr) {
      ++at;
      continue;
    }
    FASTVLM_RETURN_IF_ERROR(append_plain(view.substr(begin, at - begin), ids));
    ids.push_back(token->id);
    at += token->content.size();
    begin = at;
  }
  FASTVLM_RETURN_IF_ERROR(append_plain(view.substr(begin), ids));
  return ids;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
  StreamDecoder decoder(*this, skip_special);
  std::string text;
  for (const TokenId id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

std::string StreamDecoder::push(TokenId id) {
  if (skip_special_ && tokenizer_->is_special(id)) return {};
  // An added token is text of its own: an unfinished character before it stays unfinished.
  std::string text = tokenizer_->is_added(id) ? finish() : std::string();
  pending_ += tokenizer_->token_bytes(id);
  pending_.erase(0, append_whole_characters(pending_, text));
  return text;
}

std::string StreamDecoder::finish() {
  std::string text = with_replacements(pending_);
  pending_.clear();
  return text;
}

}  // namespace fastvlm
