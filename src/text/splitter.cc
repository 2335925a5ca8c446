// SPDX-License-Identifier: Apache-2.0
#include "text/splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <limits>

#include "base/strings.h"
#include "text/unicode.h"

namespace fastvlm {

const std::string_view kQwen2SplitPattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

namespace {

constexpr size_t kMaxPatternBytes = 4096;
// Backtracking steps that every match may take; one that needs more draws on a budget for the
// whole text, so that the total stays proportional to its length.
constexpr uint32_t kFreeSteps = 1000;
constexpr int64_t kBudgetSteps = 1 << 20;
constexpr int64_t kBudgetStepsPerByte = 64;
constexpr uint32_t kHeapKiB = 64 * 1024;

// Unicode's White_Space, as a part of a character class. PCRE2's own \s also takes U+180E, which
// is no white space for the libraries that the vocabularies were trained with.
constexpr std::string_view kSpaces = R"(\p{Z}\t-\r\x{85})";

// The pattern with \s and, outside classes, \S spelled out.
std::string with_unicode_spaces(std::string_view pattern) {
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const std::string_view two = pattern.substr(i, 2);
    if (two.size() == 2 && two[0] == '\\') {
      if (two[1] == 's') {
        out += in_class ? std::string(kSpaces) : cat('[', kSpaces, ']');
      } else if (two[1] == 'S' && !in_class) {
        out += cat("[^", kSpaces, ']');
      } else {
        out += two;
      }
      ++i;
      continue;
    }
    if (pattern[i] == '[') in_class = true;
    if (pattern[i] == ']') in_class = false;
    out += pattern[i];
  }
  return out;
}

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 200> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

// One walk over one text: the memory of the matcher and what is left of the budget.
class Walk {
 public:
  Walk(const pcre2_code* code, std::string_view text)
      : code_(code),
        text_(text),
        match_(pcre2_match_data_create(1, nullptr)),
        limits_(pcre2_match_context_create(nullptr)),
        budget_(kBudgetSteps + kBudgetStepsPerByte * static_cast<int64_t>(text.size())) {
    if (ready()) pcre2_set_heap_limit(limits_, kHeapKiB);
  }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;
  ~Walk() {
    pcre2_match_data_free(match_);
    pcre2_match_context_free(limits_);
  }

  bool ready() const { return match_ != nullptr && limits_ != nullptr; }

  // The next match from `at` on; PCRE2's code: >= 0 found, PCRE2_ERROR_NOMATCH none, else failed.
  int find(size_t at) {
    uint32_t options = PCRE2_NO_UTF_CHECK;
    for (uint32_t steps = kFreeSteps;; steps *= 4) {
      pcre2_set_match_limit(limits_, steps);
      int code = run(at, options);
      if (code == PCRE2_ERROR_JIT_STACKLIMIT) {
        options |= PCRE2_NO_JIT;  // the interpreter keeps its stack on the heap
        code = run(at, options);
      }
      if (code != PCRE2_ERROR_MATCHLIMIT || budget_ < steps) return code;
      budget_ -= steps;
      if (steps > std::numeric_limits<uint32_t>::max() / 4) return code;
    }
  }

  size_t begin() const { return pcre2_get_ovector_pointer(match_)[0]; }
  size_t end() const { return pcre2_get_ovector_pointer(match_)[1]; }

 private:
  int run(size_t at, uint32_t options) {
    return pcre2_match(code_, reinterpret_cast<PCRE2_SPTR>(text_.data()), text_.size(), at, options,
                       match_, limits_);
  }

  const pcre2_code* code_;
  std::string_view text_;
  pcre2_match_data* match_;
  pcre2_match_context* limits_;
  int64_t budget_;
};

}  // namespace

void Splitter::Free::operator()(pcre2_real_code_8* code) const {
  pcre2_code_free(code);
}

Result<Splitter> Splitter::compile(std::string_view pattern, const std::string& field) {
  if (pattern.empty() || pattern.size() > kMaxPatternBytes) {
    return error(Code::kInvalid,
                 cat(field, ": expected an expression of 1 to ", kMaxPatternBytes, " bytes, found ",
                     pattern.size()),
                 "take the tokenizer files from the model's own checkpoint");
  }
  const std::string spelled_out = with_unicode_spaces(pattern);
  int code = 0;
  size_t offset = 0;
  Splitter splitter;
  splitter.code_.reset(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(spelled_out.data()), spelled_out.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr));
  if (!splitter.code_) {
    return error(
        Code::kInvalid,
        cat(field, ": not a regular expression that this program reads: ", pcre2_message(code)),
        "take the tokenizer files from the model's own checkpoint");
  }
  // Where the system forbids code made at run time this fails, and the interpreter serves.
  pcre2_jit_compile(splitter.code_.get(), PCRE2_JIT_COMPLETE);
  return splitter;
}

Result<std::vector<uint32_t>> Splitter::piece_ends(std::string_view utf8) const {
  Walk walk(code_.get(), utf8);
  if (!walk.ready()) return error(Code::kLimit, "no memory left to split the text", "");
  std::vector<uint32_t> ends;
  const auto end_piece = [&](size_t end) {
    if (end > (ends.empty() ? 0 : ends.back())) ends.push_back(static_cast<uint32_t>(end));
  };
  for (size_t at = 0; at < utf8.size();) {
    const int code = walk.find(at);
    if (code == PCRE2_ERROR_NOMATCH) break;
    if (code < 0 || walk.begin() < at || walk.end() < walk.begin()) {
      return error(Code::kLimit,
                   cat("text at byte ", at, " cannot be split into words: ",
                       code < 0 ? pcre2_message(code) : "the match runs backwards"),
                   "shorten the text, or check the tokenizer's split pattern");
    }
    if (walk.end() == walk.begin()) {  // an empty match cuts nothing; step over one character
      if (walk.end() == utf8.size()) break;
      at = walk.end() + utf8_front(utf8.substr(walk.end())).length;
      continue;
    }
    end_piece(walk.begin());
    end_piece(walk.end());
    at = walk.end();
  }
  end_piece(utf8.size());
  return ends;
}

}  // namespace fastvlm
