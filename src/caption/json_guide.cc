// SPDX-License-Identifier: Apache-2.0
#include "caption/json_guide.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "caption/choices.h"
#include "caption/value_text.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

constexpr size_t kTail = 3;         // tokens that the end of a string may cost more than it gave
constexpr size_t kNumber = 2;       // tokens of the shortest number, and what ends it
constexpr size_t kLongNumber = 20;  // more tokens that a number may have

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

enum class NumberText { kNone, kBeginning, kWhole };

// What `text` is of a number: at most 15 digits before the point and 6 behind it, no exponent.
NumberText number_text(std::string_view text, bool integer) {
  const auto digits = [&] {
    const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(count);
    return count;
  };
  if (text.starts_with('-')) text.remove_prefix(1);
  const bool zero = text.starts_with('0');
  const size_t whole = digits();
  if (whole > 15 || (zero && whole > 1)) return NumberText::kNone;
  if (text.empty()) return whole > 0 ? NumberText::kWhole : NumberText::kBeginning;
  if (integer || whole == 0 || text.front() != '.') return NumberText::kNone;
  text.remove_prefix(1);
  const size_t behind = digits();
  if (behind > 6 || !text.empty()) return NumberText::kNone;
  return behind > 0 ? NumberText::kWhole : NumberText::kBeginning;
}

size_t characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

// The bytes of a character that `text` ends inside of.
std::string_view unfinished_end(std::string_view text) {
  std::string whole;
  return text.substr(append_whole_characters(text, whole));
}

// How many characters `piece` adds to a string when it is whole and needs no escape, else 0.
uint8_t plain_characters(std::string_view piece) {
  size_t count = 0;
  while (!piece.empty()) {
    const Utf8Front front = utf8_front(piece);
    const auto byte = static_cast<unsigned char>(piece.front());
    const bool plain = byte >= 0x20 && byte != 0x7F && byte != '"' && byte != '\\';
    if (front.kind != Utf8Front::Kind::kCharacter || !plain) return 0;
    piece.remove_prefix(front.length);
    ++count;
  }
  return count > UINT8_MAX ? 0 : static_cast<uint8_t>(count);
}

}  // namespace

void JsonWriter::begin(const JsonShape& shape) {
  shape_ = &shape;
  switch (shape.kind) {
    case JsonShape::Kind::kObject:
      text_ += '{';
      stack_.push_back({&shape});
      return begin_member();
    case JsonShape::Kind::kArray:
      text_ += '[';
      stack_.push_back({&shape});
      if (shape.most_items > 0) return begin(shape.parts.front());
      return decide(false);
    case JsonShape::Kind::kNumber:
    case JsonShape::Kind::kInteger:
      leaf_ = Leaf::kNumber;
      return;
    case JsonShape::Kind::kString:
    case JsonShape::Kind::kBoolean:
      break;
  }
  if (shape.kind == JsonShape::Kind::kString && shape.choices.empty()) {
    text_ += '"';
    leaf_ = Leaf::kString;
    return;
  }
  blank_before_ = text_.ends_with(' ');
  if (blank_before_) text_.pop_back();
  leaf_ = Leaf::kChoice;
}

void JsonWriter::begin_member() {
  const Frame& frame = stack_.back();
  if (frame.done < frame.shape->parts.size()) {
    text_ += cat(frame.done > 0 ? ", " : "", quoted(frame.shape->names[frame.done]), ": ");
    return begin(frame.shape->parts[frame.done]);
  }
  text_ += '}';
  stack_.pop_back();
  end_value();
}

void JsonWriter::end_value() {
  if (stack_.empty()) {
    leaf_ = Leaf::kDone;
    return;
  }
  Frame& frame = stack_.back();
  ++frame.done;
  if (frame.shape->kind == JsonShape::Kind::kObject) return begin_member();
  if (frame.done == frame.shape->most_items) return decide(false);
  if (frame.done < frame.shape->least_items) return decide(true);
  leaf_ = Leaf::kMore;
}

void JsonWriter::decide(bool more) {
  if (more) {
    text_ += ", ";
    return begin(stack_.back().shape->parts.front());
  }
  text_ += ']';
  stack_.pop_back();
  end_value();
}

Result<JsonGuide> JsonGuide::make(const JsonSchema& schema, const Tokenizer& tokenizer,
                                  std::vector<TokenId> stop_ids, int64_t max_tokens) {
  JsonGuide guide(schema, TokenText(tokenizer, std::move(stop_ids)));
  guide.max_tokens_ = static_cast<size_t>(std::max(max_tokens, int64_t{0}));
  FASTVLM_ASSIGN(const Rest all, guide.rest(guide.writer_));
  if (all.tokens > guide.max_tokens_) {
    return error(Code::kUsage,
                 cat("max_tokens: expected at least ", all.tokens,
                     " for the shortest JSON of this schema, found ", max_tokens),
                 "allow a longer answer, or ask for less");
  }
  guide.plain_.resize(tokenizer.vocab_size());
  for (size_t id = 0; id < guide.plain_.size(); ++id) {
    guide.plain_[id] = plain_characters(guide.tokens_.bytes(static_cast<TokenId>(id)));
  }
  return guide;
}

// Stops counting where max_tokens are passed.
Result<JsonGuide::Rest> JsonGuide::rest(JsonWriter writer) const {
  Rest rest;
  while (rest.tokens <= max_tokens_) {
    FASTVLM_ASSIGN(const std::vector<TokenId> ids, tokens_.encode(writer.take_text()));
    rest.tokens += ids.size();
    switch (writer.leaf()) {
      case JsonWriter::Leaf::kDone:
        return rest;
      case JsonWriter::Leaf::kString:
        rest.tokens += kTail;
        ++rest.strings;
        writer.end_string();
        break;
      case JsonWriter::Leaf::kNumber:
        rest.tokens += kNumber;
        writer.end_value();
        break;
      case JsonWriter::Leaf::kChoice: {
        FASTVLM_ASSIGN(const auto choices, choices_of(writer));
        size_t longest = 0;
        for (const auto& choice : choices) longest = std::max(longest, choice.size());
        rest.tokens += longest;
        writer.end_value();
        break;
      }
      case JsonWriter::Leaf::kMore:
        writer.decide(false);
        break;
    }
  }
  return rest;
}

Result<std::vector<std::vector<TokenId>>> JsonGuide::choices_of(const JsonWriter& writer) const {
  std::vector<std::string> texts = {"true", "false"};
  if (!writer.shape().choices.empty()) {
    texts.clear();
    for (const std::string& choice : writer.shape().choices) texts.push_back(quoted(choice));
  }
  std::vector<std::vector<TokenId>> choices;
  for (const std::string& text : texts) {
    FASTVLM_ASSIGN(std::vector<TokenId> ids,
                   tokens_.encode(cat(writer.blank_before() ? " " : "", text)));
    choices.push_back(std::move(ids));
  }
  return choices;
}

Result<Guide::Step> JsonGuide::next(std::span<const TokenId> ids) {
  if (!started_) {
    started_ = true;
    return write({}, "");
  }
  const auto value = ids.subspan(begin_);
  switch (writer_.leaf()) {
    case JsonWriter::Leaf::kString:
      return in_string(ids, value);
    case JsonWriter::Leaf::kNumber:
      return in_number(ids, value);
    case JsonWriter::Leaf::kChoice:
      return in_choice(ids, value);
    case JsonWriter::Leaf::kMore:
      return at_more(ids, value);
    case JsonWriter::Leaf::kDone:
      break;
  }
  return Step{.keep = ids.size(), .settled = ids.size(), .finish = finish_};
}

// Writes what is certain, after `tail`, behind `ids`, those of the answer that stay.
Result<Guide::Step> JsonGuide::write(std::span<const TokenId> ids, std::string_view tail) {
  Step step{.keep = ids.size(), .settled = ids.size()};
  const std::string text = writer_.take_text();
  FASTVLM_ASSIGN(std::vector<TokenId> front, tokens_.encode(tail));
  FASTVLM_ASSIGN(const std::vector<TokenId> certain, tokens_.encode(text));
  if (front.size() > 1 + kTail) front.clear();
  FASTVLM_ASSIGN(step.forced, tokens_.encode(cat(front.empty() ? "" : tail, text)));
  if (step.forced.size() > front.size() + certain.size()) {
    step.forced = std::move(front);
    step.forced.insert(step.forced.end(), certain.begin(), certain.end());
  }
  if (step.forced.empty() && writer_.leaf() == JsonWriter::Leaf::kDone) step.finish = finish_;
  FASTVLM_RETURN_IF_ERROR(enter_leaf(ids.size() + step.forced.size()));
  // Nothing stands between a number and the decision whether another follows.
  if (step.forced.empty() && !step.finish) return next(ids);
  return step;
}

// The most tokens of the leaf that starts behind `length` ids: of a string, three equal shares of
// what is left, and what leaves half a share to each later one.
Status JsonGuide::enter_leaf(size_t length) {
  begin_ = length;
  FASTVLM_ASSIGN(const Rest all, rest(writer_));
  const size_t left = max_tokens_ - std::min(max_tokens_, length + all.tokens);
  switch (writer_.leaf()) {
    case JsonWriter::Leaf::kString: {
      const size_t share = left / all.strings;
      cap_ = std::min(3 * share, left - (all.strings - 1) * (share / 2));
      break;
    }
    case JsonWriter::Leaf::kNumber:
      cap_ = 1 + std::min(left, kLongNumber);
      break;
    case JsonWriter::Leaf::kChoice: {
      FASTVLM_ASSIGN(choices_, choices_of(writer_));
      break;
    }
    case JsonWriter::Leaf::kMore: {
      JsonWriter longer = writer_;
      longer.decide(true);
      FASTVLM_ASSIGN(const Rest more, rest(std::move(longer)));
      cap_ = length + more.tokens <= max_tokens_ ? 1 : 0;
      break;
    }
    case JsonWriter::Leaf::kDone:
      break;
  }
  return {};
}

Result<Guide::Step> JsonGuide::in_string(std::span<const TokenId> ids,
                                         std::span<const TokenId> value) {
  const std::string content = tokens_.bytes(value);
  const size_t most = writer_.shape().most_characters.value_or(SIZE_MAX);
  if (!value.empty()) {
    const std::string_view last = tokens_.bytes(value.back());
    const size_t quote = last.find('"');
    if (tokens_.is_stop(value.back())) return close_string(ids, value.size() - 1, "");
    if (quote != std::string_view::npos) {
      return close_string(ids, value.size() - 1, last.substr(0, quote));
    }
  }
  const std::string unfinished(unfinished_end(content));
  const bool loop = ends_in_loop(value);
  if (loop || value.size() >= cap_ || (characters(content) >= most && unfinished.empty())) {
    if (finish_ != FinishReason::kLength) {
      finish_ = loop ? FinishReason::kLoop : FinishReason::kLength;
    }
    const auto whole = loop ? value.first(length_before_repeats(value)) : value;
    size_t keep = clean_length(tokens_.pieces(whole));
    while (keep > 0 && trimmed(tokens_.bytes(whole[keep - 1])).empty()) --keep;
    const bool cut = !unfinished_end(tokens_.bytes(whole.first(keep))).empty();
    return close_string(ids, cut ? 0 : keep, "");
  }
  const size_t room = most - characters(content);
  const bool first = value.empty();
  const bool may_end = unfinished.empty() && has_word(content);
  Step step{.keep = ids.size(), .settled = begin_};
  step.allows = [this, first, content, unfinished, room, may_end](TokenId id) {
    if (tokens_.is_stop(id)) return may_end;
    if (first && tokens_.bytes(id).starts_with(' ')) return false;
    const auto index = static_cast<size_t>(id);
    const size_t plain = index < plain_.size() ? plain_[index] : 0;
    if (plain > 0 && unfinished.empty()) return plain <= room;
    return fits_string(tokens_.bytes(id), content, unfinished, room);
  };
  return step;
}

bool JsonGuide::fits_string(std::string_view piece, const std::string& content,
                            std::string_view unfinished, size_t room) const {
  if (piece.empty()) return false;
  const std::string text = cat(unfinished, piece);
  // The unfinished character is counted already.
  size_t added = unfinished.empty() ? 0 : SIZE_MAX;
  for (std::string_view rest = text; !rest.empty();) {
    const Utf8Front front = utf8_front(rest);
    if (front.kind == Utf8Front::Kind::kInvalid) return false;
    if (front.kind == Utf8Front::Kind::kIncomplete) return added + 1 <= room;
    const auto byte = static_cast<unsigned char>(rest.front());
    if (byte == '"') return has_word(cat(content, piece.substr(0, piece.find('"'))));
    if (byte < 0x20 || byte == 0x7F || byte == '\\' || ++added > room) return false;
    rest.remove_prefix(front.length);
  }
  return true;
}

Result<Guide::Step> JsonGuide::close_string(std::span<const TokenId> ids, size_t keep,
                                            std::string_view tail) {
  writer_.end_string();
  return write(ids.first(begin_ + keep), tail);
}

Result<Guide::Step> JsonGuide::in_number(std::span<const TokenId> ids,
                                         std::span<const TokenId> value) {
  const bool integer = writer_.shape().kind == JsonShape::Kind::kInteger;
  const std::string content = tokens_.bytes(value);
  const auto ended_at = [&](size_t keep) {
    writer_.end_value();
    return write(ids.first(begin_ + keep), "");
  };
  if (!value.empty()) {
    const bool number = number_text(content, integer) != NumberText::kNone;
    if (!number || tokens_.is_stop(value.back())) return ended_at(value.size() - 1);
    if (value.size() >= cap_) return ended_at(value.size());
  }
  const bool whole = number_text(content, integer) == NumberText::kWhole;
  const bool last = value.size() + 1 >= cap_;
  Step step{.keep = ids.size(), .settled = begin_};
  step.allows = [this, content, integer, whole, last](TokenId id) {
    if (tokens_.is_stop(id)) return whole;
    const std::string_view piece = tokens_.bytes(id);
    if (piece.empty()) return false;
    const NumberText text = number_text(content + std::string(piece), integer);
    if (text == NumberText::kWhole || (text == NumberText::kBeginning && !last)) return true;
    // What cannot stand in a number ends it.
    return whole && text == NumberText::kNone &&
           std::string_view("0123456789.-").find(piece.front()) == std::string_view::npos;
  };
  return step;
}

Result<Guide::Step> JsonGuide::in_choice(std::span<const TokenId> ids,
                                         std::span<const TokenId> value) {
  ChoiceStep chosen = next_of_choices(choices_, value);
  if (chosen.complete) {
    writer_.end_value();
    return write(ids, "");
  }
  return Step{.keep = ids.size(),
              .settled = begin_,
              .forced = std::move(chosen.forced),
              .allows = std::move(chosen.allows)};
}

// A token that starts with a comma or a bracket decides; it is taken back and written anew.
Result<Guide::Step> JsonGuide::at_more(std::span<const TokenId> ids,
                                       std::span<const TokenId> value) {
  const auto starts_with = [this](TokenId id, char sign) {
    return trimmed(tokens_.bytes(id)).starts_with(sign);
  };
  if (cap_ == 0 || ends_in_loop(ids.first(begin_))) {
    writer_.decide(false);
    return write(ids.first(begin_), "");
  }
  if (!value.empty()) {
    writer_.decide(starts_with(value.back(), ','));
    return write(ids.first(begin_), "");
  }
  return Step{.keep = ids.size(), .settled = begin_, .allows = [this, starts_with](TokenId id) {
                return tokens_.is_stop(id) || starts_with(id, ',') || starts_with(id, ']');
              }};
}

}  // namespace fastvlm
