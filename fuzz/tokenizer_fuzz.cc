// SPDX-License-Identifier: Apache-2.0
// Input: a JSON merge patch (RFC 7386) to the small tokenizer, or a whole tokenizer.json, then a
// zero byte, then a text. Whatever loads must give the text back, to users without control tokens.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "support/small_tokenizer.h"
#include "text/conversation.h"
#include "text/tokenizer.h"

namespace {

using namespace fastvlm;

void require(bool fact) {
  if (!fact) std::abort();
}

std::string tokenizer_json(std::string_view patch) {
  const auto parsed = nlohmann::json::parse(patch, nullptr, false);
  if (!parsed.is_object()) return std::string(patch);
  static const auto kSmall = test::small_tokenizer();
  auto changed = kSmall;
  changed.merge_patch(parsed);
  return changed.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void check_text(const Tokenizer& tokenizer, std::string_view text) {
  const std::string clean = with_replacements(text);
  const std::string normal = nfc(clean);
  for (const Trust trust : {Trust::kTrusted, Trust::kUser}) {
    const auto ids = tokenizer.encode(text, trust);
    require(ids.ok());
    const std::string back = tokenizer.decode(*ids, false);
    require(back == normal || back == clean);  // the patch may remove the normalizer
    StreamDecoder decoder(tokenizer, false);
    std::string joined;
    for (const TokenId id : *ids) {
      joined += decoder.push(id);
      require(trust == Trust::kTrusted || !tokenizer.is_added(id));
    }
    require(joined + decoder.finish() == back);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), size);
  const auto tokenizer = Tokenizer::from_json(tokenizer_json(input.substr(0, end)), "fuzz");
  if (!tokenizer.ok()) {
    require(!tokenizer.status().message.empty());
    return 0;
  }
  const std::string_view text = input.substr(std::min(end + 1, size));
  check_text(*tokenizer, text);
  (void)conversation_ids(*tokenizer, text, PromptOrder::kImageFirst);
  return 0;
}
