// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer_json.h"

#include "base/strings.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 16;

// Follows the parser through the document. `open_` are the containers around the current value that
// go into the tree; inside the vocabulary or the merges `place_` says so and no tree grows.
class Reader : public nlohmann::json_sax<json> {
 public:
  Reader(const std::string& name, TokenizerDocument document, TokenizerParts& parts)
      : name_(name), document_(document), parts_(parts) {}

  json& tree() { return tree_; }
  const Status& status() const { return status_; }

  bool null() override { return value(nullptr, "null"); }
  bool boolean(bool v) override { return value(v, "a truth value"); }
  bool number_integer(number_integer_t v) override { return value(v, "a negative number"); }
  bool number_float(number_float_t v, const string_t&) override {
    return value(v, "a fraction or a huge number");
  }
  bool binary(binary_t&) override { return fail("binary data"); }

  bool number_unsigned(number_unsigned_t v) override {
    if (place_ != Place::kVocabulary) return value(v, "a number");
    if (v >= static_cast<uint64_t>(kMaxTokens)) {
      return fail(cat("expected ids below ", kMaxTokens, ", found ", v, " for \"",
                      excerpt(parts_.tokens[parts_.tokens.size() - 1]), '"'));
    }
    parts_.ids.push_back(static_cast<TokenId>(v));
    return true;
  }

  bool string(string_t& v) override {
    if (place_ == Place::kMerges) {
      parts_.merges.push_back(v);
      return true;
    }
    if (place_ == Place::kMergePair) {
      if (pair_count_++ > 0) pair_ += ' ';
      pair_ += v;
      return true;
    }
    return value(std::move(v), "a string");
  }

  bool start_object(size_t) override {
    if (starts_vocabulary()) {
      place_ = Place::kVocabulary;
      return true;
    }
    return open(json::object(), "an object");
  }

  bool key(string_t& v) override {
    if (place_ == Place::kVocabulary) {
      parts_.tokens.push_back(v);
      return true;
    }
    if (open_.back()->contains(v)) return fail(cat("the key \"", excerpt(v), "\" is repeated"));
    key_ = std::move(v);
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kVocabulary) {
      place_ = Place::kTree;
      if (!open_.empty()) (*open_.back())[key_] = json::object();  // it was there
      return true;
    }
    open_.pop_back();
    return true;
  }

  bool start_array(size_t) override {
    if (place_ == Place::kMerges) {
      place_ = Place::kMergePair;
      pair_.clear();
      pair_count_ = 0;
      return true;
    }
    if (place_ == Place::kTree && in_model() && key_ == "merges") {
      place_ = Place::kMerges;
      return true;
    }
    return open(json::array(), "an array");
  }

  bool end_array() override {
    if (place_ == Place::kMergePair) {
      if (pair_count_ != 2) return fail(cat("expected two tokens, found ", pair_count_));
      parts_.merges.push_back(pair_);
      place_ = Place::kMerges;
      return true;
    }
    if (place_ == Place::kMerges) {
      place_ = Place::kTree;
      (*open_.back())[key_] = json::array();
      return true;
    }
    open_.pop_back();
    return true;
  }

  bool parse_error(size_t position, const std::string&, const json::exception&) override {
    status_ =
        error(Code::kInvalid, cat(name_, ": expected JSON, found an error at byte ", position),
              "the file may be cut off; fetch it again");
    return false;
  }

 private:
  enum class Place { kTree, kVocabulary, kMerges, kMergePair };

  bool in_model() const {
    return document_ == TokenizerDocument::kTokenizer && open_.size() == 2 && model_is_open_;
  }

  bool starts_vocabulary() const {
    if (place_ != Place::kTree) return false;
    if (document_ == TokenizerDocument::kVocabulary) return open_.empty();
    return in_model() && key_ == "vocab";
  }

  bool fail(const std::string& what) {
    const std::string_view field = place_ == Place::kVocabulary ? parts_.vocabulary_field
                                   : place_ == Place::kTree     ? std::string_view(name_)
                                                                : parts_.merges_field;
    status_ = error(Code::kInvalid, cat(field, ": ", what),
                    "take the tokenizer files from the model's own checkpoint");
    return false;
  }

  // Puts a value into the container that is open; its address, or null after a failure.
  json* place(json v, const char* what) {
    if (place_ == Place::kVocabulary) {
      fail(cat("expected an id for each token, found ", what));
      return nullptr;
    }
    if (place_ != Place::kTree) {
      fail(cat("expected pairs of tokens, found ", what));
      return nullptr;
    }
    if (open_.empty()) {
      tree_ = std::move(v);
      return &tree_;
    }
    if (open_.back()->is_array()) {
      open_.back()->push_back(std::move(v));
      return &open_.back()->back();
    }
    return &((*open_.back())[key_] = std::move(v));
  }

  bool value(json v, const char* what) { return place(std::move(v), what) != nullptr; }

  bool open(json v, const char* what) {
    if (open_.size() == kMaxDepth) return fail(cat("nested deeper than ", kMaxDepth));
    if (open_.size() == 1) model_is_open_ = open_.back()->is_object() && key_ == "model";
    json* placed = place(std::move(v), what);
    if (placed != nullptr) open_.push_back(placed);
    return placed != nullptr;
  }

  const std::string& name_;
  TokenizerDocument document_;
  TokenizerParts& parts_;
  json tree_;
  std::vector<json*> open_;
  std::string key_;
  bool model_is_open_ = false;
  Place place_ = Place::kTree;
  std::string pair_;
  int pair_count_ = 0;
  Status status_;
};

}  // namespace

Result<json> parse_tokenizer_json(std::string_view text, const std::string& name,
                                  TokenizerDocument document, TokenizerParts& parts) {
  Reader reader(name, document, parts);
  if (!json::sax_parse(text.begin(), text.end(), &reader)) return reader.status();
  return std::move(reader.tree());
}

}  // namespace fastvlm
