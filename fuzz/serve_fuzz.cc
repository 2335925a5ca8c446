// SPDX-License-Identifier: Apache-2.0
// What strangers send a server: any bytes as a chat request, as a request of our own in JSON and as
// a form, as a picture in text, and as an answer with texts that end it.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "serve/access.h"
#include "serve/caption_request.h"
#include "serve/chat_request.h"
#include "serve/request_body.h"
#include "serve/stop_texts.h"

namespace {

// An answer in pieces loses nothing, and nothing is passed on from the first stop text on.
void check_stop_texts(std::string_view text) {
  fastvlm::StopTexts stops({"END", "ee", "\xE2\x80\x93"});
  std::string out;
  for (size_t i = 0; i < text.size(); i += 3) out += stops.push(text.substr(i, 3));
  out += stops.finish();
  if (!text.starts_with(out) || stops.found() == (out.size() == text.size())) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::string param;
  const auto chat = fastvlm::parse_chat_request(text, {}, param);
  if (chat.ok()) {
    const bool seen = chat->picture.bytes.empty() != chat->picture.address.empty();
    if (!seen || chat->caption.prompt.empty()) std::abort();
  }
  (void)fastvlm::parse_caption_request(text, "application/json", {}, param);
  // The first line is a form's Content-Type.
  const size_t line = text.find('\n');
  const std::string_view type = text.substr(0, line);
  const std::string_view body = line == std::string_view::npos ? "" : text.substr(line + 1);
  const auto form = fastvlm::parse_form(body, type);
  for (const auto& part : form.ok() ? *form : std::vector<fastvlm::FormPart>()) {
    if (part.value.data() < body.data() ||
        part.value.data() + part.value.size() > body.data() + body.size()) {
      std::abort();
    }
  }
  if (fastvlm::is_form(type)) {
    (void)fastvlm::parse_caption_request(body, type, {}, param);
    (void)fastvlm::parse_picture_request(body, type, param);
  }
  (void)fastvlm::picture_source(text, true);
  (void)fastvlm::parse_keys(text, "fuzzed");
  (void)fastvlm::same_origin(type, body);
  check_stop_texts(text);
  return 0;
}
