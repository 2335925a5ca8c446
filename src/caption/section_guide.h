// SPDX-License-Identifier: Apache-2.0
// Guides an answer through the sections of a schema: each header is written by the decoder, each
// value is the model's own until it ends the value (an end token, the next header, another header),
// repeats itself, or has used up its tokens. Goals: every section is there, in order and not empty,
// whatever the model; the answer stays within its tokens; a reader of the text finds the same
// sections; where the model would have written the headers itself, the text is what it would have
// been. Non-goals: good values.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "caption/caption_schema.h"
#include "caption/token_text.h"
#include "language/guided_decoding.h"

namespace fastvlm {

struct GuidedSection {
  std::string text;  // trimmed
  FinishReason finish = FinishReason::kStop;
};

class SectionGuide : public Guide {
 public:
  // `stop_ids` are the model's end tokens. kUsage when max_tokens do not hold all headers and the
  // least of every value. Schema and tokenizer must outlive the guide.
  static Result<SectionGuide> make(const CaptionSchema& schema, const Tokenizer& tokenizer,
                                   std::vector<TokenId> stop_ids, int64_t max_tokens);

  Result<Step> next(std::span<const TokenId> ids) override;

  // Those that are finished, in the schema's order.
  const std::vector<GuidedSection>& sections() const { return done_; }

 private:
  struct Part {
    std::vector<TokenId> header;
    std::vector<std::vector<TokenId>> choices;  // each ends with the line end
    size_t most = 0;                            // tokens of a value
  };
  // The end of a value: how many of its ids stay, and why.
  struct End {
    size_t keep;
    FinishReason finish;
  };

  SectionGuide(const CaptionSchema& schema, TokenText tokens)
      : schema_(&schema), tokens_(std::move(tokens)) {}

  Status encode_parts();
  Status check_length(int64_t max_tokens);
  size_t value_cap() const;
  Result<Step> open(Step step, size_t length);
  Result<Step> close(std::span<const TokenId> ids, const End& end);
  Result<Step> choose(size_t length, std::span<const TokenId> value);
  std::optional<End> end_of(std::span<const TokenId> value) const;
  End before_foreign_headers(std::span<const TokenId> value, End end) const;
  bool starts_next_header(std::span<const TokenId> value) const;
  // Ends the line of `step.keep` ids the way the tokenizer would have.
  Status end_line(std::span<const TokenId> ids, Step& step) const;

  size_t ids_within(std::span<const TokenId> ids, size_t bytes) const;

  const CaptionSchema* schema_;
  TokenText tokens_;
  std::vector<TokenId> line_end_;
  std::vector<Part> parts_;
  size_t max_tokens_ = 0;

  std::vector<GuidedSection> done_;
  bool opened_ = false;
  size_t value_begin_ = 0;    // of the section that is being written
  size_t cap_ = 0;            // the most tokens of its value
  bool plain_start_ = false;  // its value has to start with a letter
};

}  // namespace fastvlm
