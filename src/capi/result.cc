// SPDX-License-Identifier: Apache-2.0
// fastvlm_result_*
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "capi/guard.h"
#include "capi/handles.h"
#include "caption/caption_json.h"

namespace {

const fastvlm::CaptionSection* section_at(const fastvlm_result* result, size_t index) {
  if (result == nullptr || index >= result->caption.sections.size()) return nullptr;
  return &result->caption.sections[index];
}

const char* text_of(const fastvlm::CaptionSection* section) {
  return section == nullptr || !section->text ? nullptr : section->text->c_str();
}

}  // namespace

using fastvlm::Status;
using fastvlm::capi::guarded;
using fastvlm::capi::no_null;

extern "C" {

void fastvlm_result_free(fastvlm_result* result) {
  delete result;
}

const char* fastvlm_result_text(const fastvlm_result* result) {
  return result == nullptr ? nullptr : result->caption.text.c_str();
}

size_t fastvlm_result_section_count(const fastvlm_result* result) {
  return result == nullptr ? 0 : result->caption.sections.size();
}

const char* fastvlm_result_section_key(const fastvlm_result* result, size_t index) {
  const auto* section = section_at(result, index);
  return section == nullptr ? nullptr : section->key.c_str();
}

const char* fastvlm_result_section_title(const fastvlm_result* result, size_t index) {
  const auto* section = section_at(result, index);
  return section == nullptr ? nullptr : section->title.c_str();
}

const char* fastvlm_result_section_text(const fastvlm_result* result, size_t index) {
  return text_of(section_at(result, index));
}

const char* fastvlm_result_section(const fastvlm_result* result, const char* key) {
  if (result == nullptr || key == nullptr) return nullptr;
  const auto& sections = result->caption.sections;
  const auto found = std::find_if(sections.begin(), sections.end(),
                                  [key](const auto& section) { return section.key == key; });
  return found == sections.end() ? nullptr : text_of(&*found);
}

const char* fastvlm_result_finish_reason(const fastvlm_result* result) {
  // The names are literals.
  return result == nullptr ? nullptr : fastvlm::finish_reason_name(result->caption.finish).data();
}

fastvlm_status fastvlm_result_timings(const fastvlm_result* result, fastvlm_timings* timings) {
  return guarded([&]() -> Status {
    FASTVLM_RETURN_IF_ERROR(no_null(result, "result"));
    FASTVLM_RETURN_IF_ERROR(no_null(timings, "timings"));
    const size_t size = timings->struct_size;
    FASTVLM_RETURN_IF_ERROR(fastvlm::capi::check_struct_size(size, "timings"));
    const fastvlm::Timings& measured = result->caption.timings;
    const fastvlm_timings known{.struct_size = size,
                                .picture_seconds = measured.preprocess_seconds,
                                .vision_seconds = measured.vision_seconds,
                                .prompt_seconds = measured.prefill_seconds,
                                .answer_seconds = measured.decode_seconds,
                                .first_token_seconds = measured.first_token_seconds(),
                                .tokens_per_second = measured.tokens_per_second(),
                                .prompt_tokens = measured.prompt_tokens,
                                .answer_tokens = measured.answer_tokens};
    std::memset(timings, 0, size);  // fields that we do not know
    std::memcpy(timings, &known, std::min(size, sizeof(known)));
    return {};
  });
}

fastvlm_status fastvlm_result_json(const fastvlm_result* result, uint32_t flags, char** json) {
  return guarded([&]() -> Status {
    FASTVLM_RETURN_IF_ERROR(no_null(json, "json"));
    *json = nullptr;
    FASTVLM_RETURN_IF_ERROR(no_null(result, "result"));
    if (flags > (FASTVLM_JSON_PRETTY | FASTVLM_JSON_TIMINGS)) {
      return fastvlm::error(fastvlm::Code::kUsage,
                            fastvlm::cat("flags: expected those of FASTVLM_JSON_*, found ", flags));
    }
    FASTVLM_ASSIGN(const auto identity, result->loaded->engine->identity());
    const fastvlm::JsonOptions options{.timings = (flags & FASTVLM_JSON_TIMINGS) != 0,
                                       .pretty = (flags & FASTVLM_JSON_PRETTY) != 0};
    const std::string text =
        fastvlm::to_json(result->caption, identity, result->image_name, options);
    *json = static_cast<char*>(std::malloc(text.size() + 1));
    if (*json == nullptr) throw std::bad_alloc();
    std::memcpy(*json, text.c_str(), text.size() + 1);
    return {};
  });
}

void fastvlm_string_free(char* text) {
  std::free(text);
}

}  // extern "C"
