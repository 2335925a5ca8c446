// SPDX-License-Identifier: Apache-2.0
#include "text/splitter.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <string>

#include "base/strings.h"

namespace fastvlm {
namespace {

// kQwen2SplitPattern with \s spelled out as Unicode's White_Space: PCRE2's own \s also takes
// U+180E, which is no white space for the libraries that the vocabulary was trained with.
constexpr std::string_view kPattern = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|)"
                                      R"([^\r\n\p{L}\p{N}]?\p{L}+|)"
                                      R"(\p{N}|)"
                                      R"( ?[^\p{Z}\t-\r\x{85}\p{L}\p{N}]+[\r\n]*|)"
                                      R"([\p{Z}\t-\r\x{85}]*[\r\n]+|)"
                                      R"([\p{Z}\t-\r\x{85}]+(?![^\p{Z}\t-\r\x{85}])|)"
                                      R"([\p{Z}\t-\r\x{85}]+)";

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 200> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

}  // namespace

void Splitter::Free::operator()(pcre2_real_code_8* code) const {
  pcre2_code_free(code);
}

Result<Splitter> Splitter::make() {
  int code = 0;
  size_t offset = 0;
  Splitter splitter;
  splitter.code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kPattern.data()), kPattern.size(),
                                     PCRE2_UTF | PCRE2_UCP, &code, &offset, nullptr));
  if (!splitter.code_) {
    return error(
        Code::kUnsupported,
        cat("PCRE2: expected support for Unicode properties, found: ", pcre2_message(code)),
        "install a PCRE2 library that was built with Unicode");
  }
  // Where the system forbids code made at run time this fails, and the interpreter serves.
  pcre2_jit_compile(splitter.code_.get(), PCRE2_JIT_COMPLETE);
  return splitter;
}

Result<std::vector<uint32_t>> Splitter::piece_ends(std::string_view utf8) const {
  const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
  const std::unique_ptr<pcre2_match_context, FreeContext> context(
      pcre2_match_context_create(nullptr));
  if (!match || !context) return error(Code::kLimit, "no memory left to split the text", "");
  // A run of n spaces takes n steps; PCRE2's own limit would stop at ten million.
  pcre2_set_match_limit(context.get(), UINT32_MAX);
  std::vector<uint32_t> ends;
  for (size_t at = 0; at < utf8.size();) {
    const int code =
        pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(utf8.data()), utf8.size(), at,
                    PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED, match.get(), context.get());
    if (code < 0) {
      return error(Code::kLimit,
                   cat("text at byte ", at, " cannot be split: ", pcre2_message(code)),
                   "shorten the text");
    }
    at = pcre2_get_ovector_pointer(match.get())[1];
    ends.push_back(static_cast<uint32_t>(at));
  }
  return ends;
}

}  // namespace fastvlm
