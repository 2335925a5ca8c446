// SPDX-License-Identifier: Apache-2.0
// One timeline of an engine: a picture and a request become a caption.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "base/sha256.h"
#include "base/stopwatch.h"
#include "base/strings.h"
#include "caption/engine.h"
#include "caption/json_guide.h"
#include "caption/section_guide.h"

namespace fastvlm {
namespace {

// Passes on the answer without the blanks at its ends, in pieces of whole characters.
class TextSink {
 public:
  TextSink(const Tokenizer& tokenizer, const std::function<bool(std::string_view)>& on_text)
      : decoder_(tokenizer), on_text_(on_text) {}

  bool push(TokenId id) { return take(decoder_.push(id)); }
  bool finish() { return take(decoder_.finish()); }
  std::string& text() { return text_; }

 private:
  // Blanks wait until something follows them.
  bool take(const std::string& piece) {
    waiting_ += piece;
    const std::string_view solid = trimmed(waiting_);
    if (solid.empty()) {
      if (text_.empty()) waiting_.clear();
      return true;
    }
    const auto start =
        text_.empty() ? static_cast<size_t>(solid.data() - waiting_.data()) : size_t{0};
    const auto end = static_cast<size_t>(solid.data() - waiting_.data()) + solid.size();
    const std::string out = waiting_.substr(start, end - start);
    waiting_.erase(0, end);
    text_ += out;
    return !on_text_ || on_text_(out);
  }

  StreamDecoder decoder_;
  const std::function<bool(std::string_view)>& on_text_;
  std::string waiting_;
  std::string text_;
};

// What the answer is made to fit; null: it is free.
const CaptionSchema* schema_of(const CaptionRequest& request) {
  if (request.free || request.json_schema) return nullptr;
  if (request.schema) return request.schema.get();
  const bool asked = request.beams == 1 && request.prompt == seven_point_prompt();
  return asked ? &seven_point_schema() : nullptr;
}

// Quotes, colons, stars and line ends: text that repeats them is not the model repeating itself.
bool breaks_sequence(const Tokenizer& tokenizer, TokenId id) {
  return tokenizer.token_bytes(id).find_first_of("\n:\"*") != std::string_view::npos;
}

std::vector<CaptionSection> sections_found(std::string_view text) {
  std::vector<CaptionSection> sections;
  const Sections found = parse_sections(text);
  for (const Section section : kAllSections) {
    sections.push_back({std::string(section_key(section)), std::string(section_title(section)),
                        found[static_cast<size_t>(section)], std::nullopt});
  }
  return sections;
}

std::vector<CaptionSection> sections_made(const CaptionSchema& schema,
                                          const std::vector<GuidedSection>& made) {
  std::vector<CaptionSection> sections;
  for (size_t i = 0; i < schema.sections.size(); ++i) {
    CaptionSection section{schema.sections[i].key, schema.sections[i].title, {}, {}};
    if (i < made.size()) {
      section.text = made[i].text;
      section.finish = made[i].finish;
    }
    sections.push_back(std::move(section));
  }
  return sections;
}

}  // namespace

// A prompt as ids and what is known before any work.
struct Session::Prompt {
  std::vector<TokenId> ids;
  int64_t image_tokens = 0;
  int64_t positions = 0;
  std::string sha256;
  // Of an answer that is made to fit something: one of the guides, and what it is.
  const CaptionSchema* schema = nullptr;
  std::optional<SectionGuide> sections;
  std::optional<JsonGuide> json;
  std::string schema_name;
  std::string schema_sha256;

  Guide* guide() {
    if (json) return &*json;
    return sections ? &*sections : nullptr;
  }
};

Session::Session(std::shared_ptr<const Engine> engine, Compute compute)
    : engine_(std::move(engine)), compute_(compute), drafter_(engine_->drafter()) {}

Result<Session::Prompt> Session::prepare(const CaptionRequest& request) const {
  FASTVLM_RETURN_IF_ERROR(check(request.sampling));
  const std::string question = question_text(request.tags, request.prompt);
  Prompt prompt;
  FASTVLM_ASSIGN(prompt.ids, conversation_ids(engine_->tokenizer(), question, request.order));
  prompt.image_tokens = engine_->image_tokens();
  prompt.positions = static_cast<int64_t>(prompt.ids.size()) - 1 + prompt.image_tokens;
  FASTVLM_RETURN_IF_ERROR(check_positions(engine_->checkpoint().config().max_context,
                                          prompt.positions, request.max_tokens));
  prompt.sha256 = sha256_hex(question);
  FASTVLM_RETURN_IF_ERROR(constrain(request, prompt));
  return prompt;
}

Status Session::check_request(const CaptionRequest& request) const {
  return prepare(request).status();
}

Status Session::constrain(const CaptionRequest& request, Prompt& prompt) const {
  const Tokenizer& tokenizer = engine_->tokenizer();
  prompt.schema = schema_of(request);
  if (request.free || (prompt.schema == nullptr && !request.json_schema)) return {};
  if (request.beams > 1 || (request.schema && request.json_schema)) {
    return error(Code::kUsage, "expected one beam with a schema, and one schema, found more",
                 "ask for a free answer, or for one of them");
  }
  if (request.json_schema) {
    prompt.schema_name = request.json_schema->name;
    prompt.schema_sha256 = request.json_schema->sha256;
    FASTVLM_ASSIGN(prompt.json, JsonGuide::make(*request.json_schema, tokenizer,
                                                engine_->stop_ids(), request.max_tokens));
    return {};
  }
  prompt.schema_name = prompt.schema->name;
  prompt.schema_sha256 = prompt.schema->sha256;
  FASTVLM_ASSIGN(prompt.sections, SectionGuide::make(*prompt.schema, tokenizer, engine_->stop_ids(),
                                                     request.max_tokens));
  return {};
}

Result<Tokens> Session::encode(const Image& image, Timings& timings) const {
  const Preprocessing& preprocessing = engine_->preprocessing();
  Stopwatch watch;
  const Image pixels = preprocess(image, preprocessing);
  timings.preprocess_seconds = watch.lap();
  TokenCache& cache = engine_->token_cache();
  const auto see = [&](ThreadPool& pool) { return engine_->see(pixels, pool, timings); };
  if (!cache.keeps_any()) return compute_.alone(see);
  FASTVLM_ASSIGN(const std::string key, engine_->token_key(pixels));
  std::optional<Tokens> known =
      cache.find(key, engine_->image_tokens(), engine_->checkpoint().config().language.hidden_size);
  timings.load_seconds += watch.lap();
  timings.vision_kept = known.has_value();
  if (known) return std::move(*known);
  FASTVLM_ASSIGN(Tokens seen, compute_.alone(see));
  cache.put(key, seen);
  return seen;
}

KvCache& Session::cache_for(int64_t positions) {
  if (!cache_ || cache_->capacity() < positions) {
    cache_.emplace(engine_->checkpoint().config().language, positions);
    kept_rows_.clear();
  }
  return *cache_;
}

// The cache keeps the rows that the last prompt and this one, of `count` rows, begin with: system
// text, and with the same picture also the picture. Returns how many; the last one is always run,
// for its logits.
int64_t Session::forget_all_but(std::span<const float> rows, int64_t count) {
  const size_t width = rows.size() / static_cast<size_t>(count);
  const auto known = static_cast<int64_t>(kept_rows_.size() / width);
  int64_t kept = 0;
  while (kept < std::min(known, count - 1)) {
    const size_t at = static_cast<size_t>(kept) * width;
    if (std::memcmp(&rows[at], &kept_rows_[at], width * sizeof(float)) != 0) break;
    ++kept;
  }
  cache_->truncate(kept);
  kept_rows_.clear();
  return kept;
}

Result<Decoded> Session::answer(const Qwen2& language, Prompt& prompt, std::vector<float> rows,
                                const CaptionRequest& request, Caption& caption) {
  TextSink sink(engine_->tokenizer(), request.on_text);
  DecodingOptions options;
  options.sampling = request.sampling;
  options.max_tokens = request.max_tokens;
  options.stop_on_loop = request.stop_on_loop;
  options.stop_ids = engine_->stop_ids();
  options.go_on = request.go_on;
  options.breaks_sequence = [this](TokenId id) {
    return breaks_sequence(engine_->tokenizer(), id);
  };
  if (drafter_) {
    drafter_->begin(prompt.ids);
    options.drafter = &*drafter_;
  }
  KvCache& cache = cache_for(prompt.positions + request.max_tokens);
  // Rows that were run before are the same only where no other row matters to them.
  if (!language.rows_are_independent()) kept_rows_.clear();
  const int64_t kept = forget_all_but(rows, prompt.positions);
  const int64_t rest = prompt.positions - kept;
  const float* const from = rows.data() + kept * language.config().hidden_size;
  Decoded decoded;
  if (request.beams > 1) {
    FASTVLM_ASSIGN(decoded, compute_.alone([&](ThreadPool& pool) {
      return beam_search(language, cache, from, rest, request.beams, options, pool);
    }));
    for (const TokenId id : decoded.ids) sink.push(id);
  } else {
    options.on_token = [&sink](TokenId id) { return sink.push(id); };
    Guide* guide = prompt.guide();
    FASTVLM_ASSIGN(decoded,
                   guide == nullptr
                       ? decode(language, cache, from, rest, options, compute_)
                       : decode_guided(language, cache, from, rest, *guide, options, compute_));
  }
  sink.finish();
  kept_rows_ = std::move(rows);
  caption.text = std::move(sink.text());
  caption.timings.prompt_tokens_kept = kept;
  return decoded;
}

Result<Caption> Session::caption(const Image& image, const CaptionRequest& request) {
  FASTVLM_ASSIGN(Prompt prompt, prepare(request));
  Caption caption;
  FASTVLM_ASSIGN(const Tokens projected, encode(image, caption.timings));
  if (request.on_seen && !request.on_seen()) {
    return error(Code::kInterrupted, "the caller asked to stop before the answer began");
  }
  Stopwatch watch;
  FASTVLM_ASSIGN(const auto language,
                 compute_.alone([&](ThreadPool& pool) { return engine_->language(pool); }));
  caption.timings.load_seconds += watch.lap();
  FASTVLM_ASSIGN(std::vector<float> rows, splice(*language, prompt.ids, projected));
  FASTVLM_ASSIGN(const Decoded decoded,
                 answer(*language, prompt, std::move(rows), request, caption));
  if (prompt.sections) {
    caption.sections = sections_made(*prompt.schema, prompt.sections->sections());
  } else if (!prompt.json) {
    caption.sections = sections_found(caption.text);
  }
  caption.finish = decoded.finish;
  caption.tags = request.tags;
  caption.provenance = {prompt.sha256,        request.order,     describe(engine_->preprocessing()),
                        engine_->precision(), request.sampling,  request.beams,
                        request.max_tokens,   request.tagged_by, prompt.schema_name,
                        prompt.schema_sha256};
  if (request.knowable && !prompt.json) {
    caption.objects =
        check_objects(caption.text, bodies_of(caption), caption.tags, *request.knowable);
  }
  caption.timings.image_tokens = prompt.image_tokens;
  caption.timings.prompt_tokens = prompt.positions;
  caption.timings.answer_tokens = static_cast<int64_t>(decoded.ids.size());
  caption.timings.prefill_seconds = decoded.prefill_seconds;
  caption.timings.decode_seconds = decoded.decode_seconds;
  caption.timings.drafts = decoded.drafts;
  return caption;
}

}  // namespace fastvlm
