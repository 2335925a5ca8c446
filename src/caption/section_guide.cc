// SPDX-License-Identifier: Apache-2.0
#include "caption/section_guide.h"

#include <algorithm>
#include <cctype>

#include "base/strings.h"
#include "caption/choices.h"
#include "caption/value_text.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

constexpr size_t kLeastValue = 4;     // tokens of a value that are worth a section
constexpr size_t kWordlessStart = 3;  // tokens after which a value must say something

bool is_ascii_letter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) != 0;
}

// A rule ("---") on the last line separates a section from the next; it is no part of either.
std::string_view without_rule(std::string_view text) {
  text = trimmed(text);
  const size_t line = text.find_last_of('\n') + 1;
  const std::string_view last = text.substr(line);
  const bool rule = line > 0 && last.size() >= 3 &&
                    std::string_view("-*_").find(last[0]) != std::string_view::npos &&
                    last.find_first_not_of(last[0]) == std::string_view::npos;
  return rule ? trimmed(text.substr(0, line)) : text;
}

}  // namespace

Result<SectionGuide> SectionGuide::make(const CaptionSchema& schema, const Tokenizer& tokenizer,
                                        std::vector<TokenId> stop_ids, int64_t max_tokens) {
  SectionGuide guide(schema, TokenText(tokenizer, std::move(stop_ids)));
  FASTVLM_RETURN_IF_ERROR(guide.encode_parts());
  FASTVLM_RETURN_IF_ERROR(guide.check_length(max_tokens));
  return guide;
}

Status SectionGuide::encode_parts() {
  FASTVLM_ASSIGN(line_end_, tokens_.encode("\n"));
  for (size_t i = 0; i < schema_->sections.size(); ++i) {
    Part part;
    FASTVLM_ASSIGN(part.header, tokens_.encode(section_header(*schema_, i)));
    for (const std::string& choice : schema_->sections[i].choices) {
      FASTVLM_ASSIGN(std::vector<TokenId> ids, tokens_.encode(cat(" ", choice, "\n")));
      part.most = std::max(part.most, ids.size());
      part.choices.push_back(std::move(ids));
    }
    parts_.push_back(std::move(part));
  }
  return {};
}

Status SectionGuide::check_length(int64_t max_tokens) {
  max_tokens_ = static_cast<size_t>(std::max(max_tokens, int64_t{0}));
  size_t needed = 0;
  for (size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    const auto own = schema_->sections[i].max_tokens;
    if (part.choices.empty()) part.most = own ? static_cast<size_t>(*own) : max_tokens_;
    needed += part.header.size() + line_end_.size();
    needed += part.choices.empty() ? kLeastValue : part.most;
  }
  if (needed <= max_tokens_) return {};
  return error(Code::kUsage,
               cat("max_tokens: expected at least ", needed, " for ", parts_.size(),
                   parts_.size() == 1 ? " header" : " headers",
                   " and a few words under each, found ", max_tokens),
               "allow a longer answer, or let the model write freely (--free)");
}

// The most tokens of the value that begins at value_begin_: its own limit, three equal shares of
// what is left for values, and what leaves half a share to each later one. Choices are as long as
// they are.
size_t SectionGuide::value_cap() const {
  size_t left = max_tokens_ - value_begin_, values = 1;
  const auto later = std::span(parts_).subspan(done_.size() + 1);
  for (const Part& part : later) {
    left -= line_end_.size() + part.header.size() + (part.choices.empty() ? 0 : part.most);
    values += part.choices.empty() ? 1 : 0;
  }
  const size_t share = left / values;
  size_t kept = 0;
  for (const Part& part : later) {
    if (part.choices.empty()) kept += std::min(std::max(share / 2, kLeastValue), part.most);
  }
  return std::min({parts_[done_.size()].most, 3 * share, left - kept});
}

// Adds the next section's header to `step`, behind `length` ids.
Result<Guide::Step> SectionGuide::open(Step step, size_t length) {
  const Part& part = parts_[done_.size()];
  step.forced.insert(step.forced.end(), part.header.begin(), part.header.end());
  value_begin_ = length + part.header.size();
  if (part.choices.empty()) cap_ = value_cap();
  plain_start_ = false;
  return step;
}

Result<Guide::Step> SectionGuide::next(std::span<const TokenId> ids) {
  if (!opened_) {
    opened_ = true;
    return open({}, 0);
  }
  const auto value = ids.subspan(value_begin_);
  if (const auto& choices = parts_[done_.size()].choices; !choices.empty()) {
    // No choice is the beginning of another, since each ends with its line.
    ChoiceStep chosen = next_of_choices(choices, value);
    if (chosen.complete) return close(ids, {value.size(), FinishReason::kStop});
    return Step{.keep = ids.size(),
                .settled = value_begin_,
                .forced = std::move(chosen.forced),
                .allows = std::move(chosen.allows)};
  }
  const std::optional<End> end = end_of(value);
  if (!end) return choose(ids.size(), value);
  const End tidy = before_foreign_headers(value, *end);
  if (!has_word(tokens_.bytes(value.first(tidy.keep)))) {
    // The value began with another header: it starts anew, with a letter.
    plain_start_ = true;
    return choose(value_begin_, {});
  }
  return close(ids.first(value_begin_ + tidy.keep), tidy);
}

std::optional<SectionGuide::End> SectionGuide::end_of(std::span<const TokenId> value) const {
  if (value.empty()) return std::nullopt;
  if (tokens_.is_stop(value.back()) || starts_next_header(value)) {
    return End{value.size() - 1, FinishReason::kStop};
  }
  if (foreign_header(*schema_, done_.size(), tokens_.bytes(value), false)) {
    return End{value.size(), FinishReason::kStop};
  }
  if (ends_in_loop(value)) {
    return End{clean_length(tokens_.pieces(value.first(length_before_repeats(value)))),
               FinishReason::kLoop};
  }
  if (value.size() >= cap_) return End{clean_length(tokens_.pieces(value)), FinishReason::kLength};
  return std::nullopt;
}

// An earlier end where the text up to `end` has another header in it.
SectionGuide::End SectionGuide::before_foreign_headers(std::span<const TokenId> value,
                                                       End end) const {
  while (true) {
    const auto kept = value.first(end.keep);
    const auto foreign = foreign_header(*schema_, done_.size(), tokens_.bytes(kept), true);
    if (!foreign) return end;
    size_t before = ids_within(kept, *foreign);
    // A token that holds both the only word and the beginning of a header stays; the rest of the
    // header goes.
    if (plain_start_ && !has_word(tokens_.bytes(kept.first(before)))) ++before;
    if (before >= end.keep) return end;
    end = {before, FinishReason::kStop};
  }
}

// Whether the last id, at the start of a line, is what the next section's header starts with.
bool SectionGuide::starts_next_header(std::span<const TokenId> value) const {
  if (value.size() < 2 || done_.size() + 1 == parts_.size()) return false;
  const std::string_view before = tokens_.bytes(value[value.size() - 2]);
  return before.ends_with('\n') && value.back() == parts_[done_.size() + 1].header.front();
}

Result<Guide::Step> SectionGuide::choose(size_t length, std::span<const TokenId> value) {
  Step step{.keep = length, .settled = value_begin_};
  const std::string text = tokens_.bytes(value);
  if (has_word(text)) return step;
  // Nothing is said yet: no end, no line end; soon, a word. A mark right behind the header would
  // be read as a part of it.
  const bool word_now = value.size() >= kWordlessStart || value.size() + 1 >= cap_;
  const bool first = value.empty();
  const bool letter_now = plain_start_ && first;
  step.allows = [this, first, word_now, letter_now](TokenId id) {
    if (tokens_.is_stop(id)) return false;
    const std::string_view piece = tokens_.bytes(id);
    const std::string_view solid = trimmed(piece);
    if (piece.empty() || piece.find_first_of("\r\n") != std::string_view::npos) return false;
    if (first && (piece.front() == '*' || piece.front() == '_')) return false;
    if (letter_now && (solid.empty() || !is_ascii_letter(solid.front()))) return false;
    return !word_now || has_word(piece);
  };
  return step;
}

// `ids` end with the value's last.
Result<Guide::Step> SectionGuide::close(std::span<const TokenId> ids, const End& end) {
  const std::string text = tokens_.tokenizer().decode(ids.subspan(value_begin_), true);
  const bool last = done_.size() + 1 == parts_.size();
  done_.push_back({std::string(last ? trimmed(text) : without_rule(text)), end.finish});
  Step step{.keep = ids.size(), .settled = ids.size()};
  if (!last) {
    FASTVLM_RETURN_IF_ERROR(end_line(ids, step));
    const size_t length = step.keep + step.forced.size();
    return open(std::move(step), length);
  }
  step.finish = FinishReason::kStop;
  for (const GuidedSection& section : done_) {
    if (*step.finish != FinishReason::kLength && section.finish != FinishReason::kStop) {
      step.finish = section.finish;
    }
  }
  return step;
}

Status SectionGuide::end_line(std::span<const TokenId> ids, Step& step) const {
  const TokenId last = ids.back();
  const std::string_view piece = tokens_.bytes(last);
  if (piece.ends_with('\n')) return {};
  // A full stop and the line end behind it may be one token.
  const std::string line = cat(piece, "\n");
  FASTVLM_ASSIGN(std::vector<TokenId> joined, tokens_.encode(line));
  step.forced = line_end_;
  if (piece.empty() || joined.size() > 1 + line_end_.size() || tokens_.bytes(joined) != line)
    return {};
  if (joined.front() == last) return {};
  step.forced = std::move(joined);
  step.keep = ids.size() - 1;
  step.settled = step.keep;
  return {};
}

// How many ids hold at most the first `limit` bytes.
size_t SectionGuide::ids_within(std::span<const TokenId> ids, size_t limit) const {
  size_t length = 0, count = 0;
  for (; count < ids.size(); ++count) {
    length += tokens_.bytes(ids[count]).size();
    if (length > limit) break;
  }
  return count;
}

}  // namespace fastvlm
