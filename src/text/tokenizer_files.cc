// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_files.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "text/hints.h"
#include "text/splitter.h"
#include "text/tokenizer_json.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr size_t kMaxAddedTokens = 4096;

// The member `key` of `object`; null when it is not there or `object` is not an object.
const json& member(const json& object, const char* key) {
  static const json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

bool is_string(const json& value, std::string_view expected) {
  return value.is_string() && value.get_ref<const std::string&>() == expected;
}

bool is_absent_or(const json& value, const json& expected) {
  return value.is_null() || value == expected;
}

// The value as it stands in a message, at most 60 bytes.
std::string shown(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 60);
}

Status unsupported(const std::string& field, const std::string& expected, const json& found) {
  return error(Code::kUnsupported, cat(field, ": expected ", expected, ", found ", shown(found)),
               "this program reads the byte-level BPE tokenizers of Qwen2 models");
}

Status invalid(const std::string& field, const std::string& expected, const json& found) {
  return error(Code::kInvalid, cat(field, ": expected ", expected, ", found ", shown(found)),
               kTakeOriginal);
}

// One entry of added_tokens or added_tokens_decoder, whose id is known.
Result<AddedToken> added_token(const json& entry, TokenId id, const std::string& field) {
  const json& content = member(entry, "content");
  if (!content.is_string() || content.get_ref<const std::string&>().empty()) {
    return invalid(cat(field, ".content"), "a text", content);
  }
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    if (!is_absent_or(member(entry, flag), false)) {
      return unsupported(cat(field, '.', flag), "false", member(entry, flag));
    }
  }
  const json& special = member(entry, "special");
  if (!special.is_null() && !special.is_boolean()) {
    return invalid(cat(field, ".special"), "true or false", special);
  }
  return AddedToken{id, content.get<std::string>(), special == true};
}

Result<TokenId> token_id(const json& value, const std::string& field) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= static_cast<uint64_t>(kMaxTokens)) {
    return invalid(field, cat("an id below ", kMaxTokens), value);
  }
  return value.get<TokenId>();
}

Status read_added_tokens(const json& list, TokenizerParts& parts) {
  if (list.is_null()) return {};
  if (!list.is_array() || list.size() > kMaxAddedTokens) {
    return invalid(parts.added_field, cat("a list of at most ", kMaxAddedTokens), list);
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string field = cat(parts.added_field, '[', i, ']');
    FASTVLM_ASSIGN(const TokenId id, token_id(member(list[i], "id"), field + ".id"));
    FASTVLM_ASSIGN(AddedToken token, added_token(list[i], id, field));
    parts.added.push_back(std::move(token));
  }
  return {};
}

Status check_model(const json& model, const std::string& name) {
  if (!is_string(member(model, "type"), "BPE")) {
    return unsupported(name + ": model.type", "\"BPE\"", member(model, "type"));
  }
  for (const char* list : {"vocab", "merges"}) {
    if (member(model, list).is_null()) {
      return invalid(cat(name, ": model.", list), "the entries", member(model, list));
    }
  }
  if (!member(model, "vocab").is_object() || !member(model, "vocab").empty()) {
    return invalid(name + ": model.vocab", "an object", member(model, "vocab"));
  }
  if (!member(model, "merges").is_array()) {
    return invalid(name + ": model.merges", "a list", member(model, "merges"));
  }
  struct Switch {
    const char* key;
    json off;
  };
  const Switch switches[] = {{"dropout", 0.0},
                             {"continuing_subword_prefix", ""},
                             {"end_of_word_suffix", ""},
                             {"byte_fallback", false},
                             {"ignore_merges", false}};
  for (const auto& [key, off] : switches) {
    if (!is_absent_or(member(model, key), off)) {
      return unsupported(cat(name, ": model.", key), shown(off), member(model, key));
    }
  }
  return {};
}

Result<bool> reads_nfc(const json& normalizer, const std::string& name) {
  if (normalizer.is_null()) return false;
  if (is_string(member(normalizer, "type"), "NFC")) return true;
  return unsupported(name + ": normalizer", "type \"NFC\"", normalizer);
}

// A ByteLevel step that changes nothing but the alphabet.
bool is_plain_byte_level(const json& step) {
  return is_string(member(step, "type"), "ByteLevel") &&
         member(step, "add_prefix_space") == false && member(step, "use_regex") == false;
}

// [Split by Qwen2's expression, ByteLevel]; a file that names no steps means the same.
Status check_split(const json& pre_tokenizer, const std::string& name) {
  if (pre_tokenizer.is_null()) return {};
  const std::string field = name + ": pre_tokenizer";
  const json& steps = member(pre_tokenizer, "pretokenizers");
  if (!is_string(member(pre_tokenizer, "type"), "Sequence") || !steps.is_array() ||
      steps.size() != 2) {
    return unsupported(field, "a Sequence of Split and ByteLevel", pre_tokenizer);
  }
  const json& split = steps[0];
  if (!is_string(member(split, "type"), "Split") ||
      !is_string(member(split, "behavior"), "Isolated") ||
      !is_absent_or(member(split, "invert"), false)) {
    return unsupported(field + ".pretokenizers[0]", "Split, Isolated, not inverted", split);
  }
  const json& pattern = member(member(split, "pattern"), "Regex");
  if (!is_string(pattern, kQwen2SplitPattern)) {
    return unsupported(field + ".pretokenizers[0].pattern.Regex", "the expression of Qwen2",
                       pattern);
  }
  if (!is_plain_byte_level(steps[1])) {
    return unsupported(field + ".pretokenizers[1]",
                       "ByteLevel with add_prefix_space and use_regex false", steps[1]);
  }
  return {};
}

Status check_byte_level(const json& step, const std::string& field) {
  if (step.is_null() || is_string(member(step, "type"), "ByteLevel")) return {};
  return unsupported(field, "type \"ByteLevel\"", step);
}

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// The document of an optional file; null when there is none.
Result<json> read_optional_json(const std::filesystem::path& path) {
  if (!is_there(path)) return json();
  FASTVLM_ASSIGN(const std::string text, read_text_file(path));
  TokenizerParts unused;
  return parse_tokenizer_json(text, path.string(), TokenizerDocument::kPlain, unused);
}

Status read_vocabulary(const std::filesystem::path& path, TokenizerParts& parts) {
  FASTVLM_ASSIGN(const std::string text, read_text_file(path));
  parts.vocabulary_field = path.string();
  FASTVLM_ASSIGN(const json rest,
                 parse_tokenizer_json(text, path.string(), TokenizerDocument::kVocabulary, parts));
  if (!rest.is_null()) return invalid(path.string(), "an object of tokens and ids", rest);
  return {};
}

Status read_merges(const std::filesystem::path& path, TokenizerParts& parts) {
  FASTVLM_ASSIGN(const std::string text, read_text_file(path));
  parts.merges_field = path.string();
  bool first = true;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = std::string_view(text).substr(at, end - at);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const bool heading = first && line.substr(0, 9) == "#version:";
    if (!heading && !line.empty()) parts.merges.push_back(line);
    first = false;
    at = end + 1;
  }
  return {};
}

// tokenizer_config.json: {"added_tokens_decoder": {"151643": {"content": ..., "special": ...}}}.
Status read_added_tokens_decoder(const std::filesystem::path& path, TokenizerParts& parts) {
  FASTVLM_ASSIGN(const json config, read_optional_json(path));
  const json& kind = member(config, "tokenizer_class");
  if (!kind.is_null() &&
      !(kind.is_string() && kind.get_ref<const std::string&>().substr(0, 5) == "Qwen2")) {
    return unsupported(path.string() + ": tokenizer_class", "Qwen2Tokenizer", kind);
  }
  const json& entries = member(config, "added_tokens_decoder");
  const std::string field = path.string() + ": added_tokens_decoder";
  if (!entries.is_null() && (!entries.is_object() || entries.size() > kMaxAddedTokens)) {
    return invalid(field, cat("an object of at most ", kMaxAddedTokens), entries);
  }
  for (const auto& [key, entry] : entries.items()) {
    TokenId id = -1;
    const auto [end, code] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (code != std::errc() || end != key.data() + key.size() || id < 0 || id >= kMaxTokens) {
      return invalid(field, cat("ids below ", kMaxTokens), key);
    }
    FASTVLM_ASSIGN(AddedToken token, added_token(entry, id, cat(field, '.', key)));
    parts.added.push_back(std::move(token));
  }
  return {};
}

// added_tokens.json: {"<|im_start|>": 151644}; older checkpoints have nothing else. Such tokens are
// taken as special.
Status read_added_tokens_file(const std::filesystem::path& path, TokenizerParts& parts) {
  FASTVLM_ASSIGN(const json entries, read_optional_json(path));
  if (!entries.is_null() && (!entries.is_object() || entries.size() > kMaxAddedTokens)) {
    return invalid(path.string(), cat("an object of at most ", kMaxAddedTokens), entries);
  }
  for (const auto& [content, value] : entries.items()) {
    FASTVLM_ASSIGN(const TokenId id, token_id(value, cat(path.string(), ": \"", content, '"')));
    const auto same = [&, &text = content](const AddedToken& token) {
      return token.id == id && token.content == text;
    };
    if (std::any_of(parts.added.begin(), parts.added.end(), same)) continue;
    parts.added.push_back({id, content, true});
  }
  return {};
}

}  // namespace

Result<TokenizerParts> read_tokenizer_json(std::string_view text, const std::string& name) {
  TokenizerParts parts;
  parts.vocabulary_field = name + ": model.vocab";
  parts.merges_field = name + ": model.merges";
  parts.added_field = name + ": added_tokens";
  FASTVLM_ASSIGN(const json document,
                 parse_tokenizer_json(text, name, TokenizerDocument::kTokenizer, parts));
  FASTVLM_RETURN_IF_ERROR(check_model(member(document, "model"), name));
  FASTVLM_RETURN_IF_ERROR(read_added_tokens(member(document, "added_tokens"), parts));
  FASTVLM_ASSIGN(parts.nfc, reads_nfc(member(document, "normalizer"), name));
  FASTVLM_RETURN_IF_ERROR(check_split(member(document, "pre_tokenizer"), name));
  for (const char* key : {"post_processor", "decoder"}) {
    FASTVLM_RETURN_IF_ERROR(check_byte_level(member(document, key), cat(name, ": ", key)));
  }
  return parts;
}

Result<TokenizerParts> read_tokenizer_folder(const std::filesystem::path& folder) {
  const auto whole = folder / "tokenizer.json";
  if (is_there(whole)) {
    FASTVLM_ASSIGN(const std::string text, read_text_file(whole));
    return read_tokenizer_json(text, whole.string());
  }
  if (!is_there(folder / "vocab.json")) {
    return error(
        Code::kNotFound, cat(folder.string(), ": neither tokenizer.json nor vocab.json is there"),
        "name the folder of a checkpoint with its tokenizer files; a link must lead to one");
  }
  TokenizerParts parts;
  parts.added_field = (folder / "tokenizer_config.json").string();
  FASTVLM_RETURN_IF_ERROR(read_vocabulary(folder / "vocab.json", parts));
  FASTVLM_RETURN_IF_ERROR(read_merges(folder / "merges.txt", parts));
  FASTVLM_RETURN_IF_ERROR(read_added_tokens_decoder(folder / "tokenizer_config.json", parts));
  FASTVLM_RETURN_IF_ERROR(read_added_tokens_file(folder / "added_tokens.json", parts));
  return parts;
}

}  // namespace fastvlm
