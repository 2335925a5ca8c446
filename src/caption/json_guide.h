// SPDX-License-Identifier: Apache-2.0
// Guides an answer to JSON of a given shape: brackets, names and commas are written by the decoder,
// the model chooses texts, numbers, choices and how long a list is. Goals: the answer parses and
// fits its schema, whatever the model, within its tokens. Strings are written without escapes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "caption/json_shape.h"
#include "caption/token_text.h"
#include "language/guided_decoding.h"

namespace fastvlm {

// A place in a JSON text of some shape: what is to be written for certain, and what the model
// decides then.
class JsonWriter {
 public:
  enum class Leaf { kString, kNumber, kChoice, kMore, kDone };

  explicit JsonWriter(const JsonShape& shape) { begin(shape); }

  // "…" of what is written next; a choice brings the blank before it itself.
  std::string take_text() { return std::exchange(text_, {}); }
  Leaf leaf() const { return leaf_; }
  const JsonShape& shape() const { return *shape_; }   // of the leaf
  bool blank_before() const { return blank_before_; }  // a choice starts with a blank

  void end_string() {
    text_ += '"';
    end_value();
  }
  void end_value();
  // At kMore: whether the list gets another item.
  void decide(bool more);

 private:
  struct Frame {
    const JsonShape* shape;
    size_t done = 0;  // members or items
  };

  void begin(const JsonShape& shape);
  void begin_member();

  std::vector<Frame> stack_;
  std::string text_;
  Leaf leaf_ = Leaf::kDone;
  const JsonShape* shape_ = nullptr;
  bool blank_before_ = false;
};

class JsonGuide : public Guide {
 public:
  // kUsage when max_tokens do not hold the shortest answer of the shape. Schema and tokenizer must
  // outlive the guide.
  static Result<JsonGuide> make(const JsonSchema& schema, const Tokenizer& tokenizer,
                                std::vector<TokenId> stop_ids, int64_t max_tokens);

  Result<Step> next(std::span<const TokenId> ids) override;

 private:
  // The shortest way to the end.
  struct Rest {
    size_t tokens = 0;
    size_t strings = 0;
  };

  JsonGuide(const JsonSchema& schema, TokenText tokens)
      : tokens_(std::move(tokens)), writer_(schema.shape) {}

  Result<Rest> rest(JsonWriter writer) const;
  Result<std::vector<std::vector<TokenId>>> choices_of(const JsonWriter& writer) const;
  Result<Step> write(std::span<const TokenId> ids, std::string_view tail);
  Status enter_leaf(size_t length);
  Result<Step> in_string(std::span<const TokenId> ids, std::span<const TokenId> value);
  Result<Step> in_number(std::span<const TokenId> ids, std::span<const TokenId> value);
  Result<Step> in_choice(std::span<const TokenId> ids, std::span<const TokenId> value);
  Result<Step> at_more(std::span<const TokenId> ids, std::span<const TokenId> value);
  // Ends a string after `keep` ids of its value and then `tail`.
  Result<Step> close_string(std::span<const TokenId> ids, size_t keep, std::string_view tail);

  // Whether `piece` may follow an unfinished character and `room` more characters.
  bool fits_string(std::string_view piece, const std::string& content, std::string_view unfinished,
                   size_t room) const;

  TokenText tokens_;
  std::vector<uint8_t> plain_;  // by id: how many characters of a string it is, 0: not only such
  size_t max_tokens_ = 0;
  JsonWriter writer_;
  bool started_ = false;
  size_t begin_ = 0;  // of the leaf
  size_t cap_ = 0;    // its most tokens
  std::vector<std::vector<TokenId>> choices_;
  FinishReason finish_ = FinishReason::kStop;
};

}  // namespace fastvlm
