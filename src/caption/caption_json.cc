// SPDX-License-Identifier: Apache-2.0
#include "caption/caption_json.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

Json sections_json(const std::vector<CaptionSection>& sections) {
  Json object = Json::object();
  for (const CaptionSection& section : sections) {
    object[section.key] = section.text ? Json(*section.text) : Json(nullptr);
  }
  return object;
}

Json finish_reasons_json(const std::vector<CaptionSection>& sections) {
  Json object = Json::object();
  for (const CaptionSection& section : sections) {
    object[section.key] =
        section.finish ? Json(finish_reason_name(*section.finish)) : Json(nullptr);
  }
  return object;
}

// Through text, so that 0.9f is written 0.9.
double decimal(float value) {
  return std::stod(cat(value));
}

Json detector_json(const TagDetector& detector) {
  return {{"name", detector.name},
          {"weights", detector.weights},
          {"weights_sha256", detector.sha256},
          {"precision", arithmetic_name(detector.precision)},
          {"confidence", decimal(detector.confidence)},
          {"iou", decimal(detector.iou)},
          {"size", detector.size},
          {"counts", detector.counts}};
}

Json tags_json(const std::vector<Tag>& tags) {
  Json list = Json::array();
  for (const Tag& tag : tags) {
    Json object = {{"label", tag.label}};
    if (!tag.position.empty()) object["position"] = tag.position;
    if (tag.confidence) object["confidence"] = decimal(*tag.confidence);
    if (tag.count > 1) object["count"] = tag.count;
    list.push_back(std::move(object));
  }
  return list;
}

Json provenance_json(const Provenance& provenance, const ModelIdentity& model) {
  Json object = {{"program", cat("fastvlm ", program_version())},
                 {"model", model.name},
                 {"model_sha256", model.sha256},
                 {"weights", model.weights}};
  if (model.adapter) {
    object["adapter"] = {{"name", model.adapter->name},
                         {"sha256", model.adapter->sha256},
                         {"scale", decimal(model.adapter->strength)}};
  }
  object.update({{"precision", describe_precision(provenance.precision)},
                 {"prompt_sha256", provenance.prompt_sha256},
                 {"order", order_name(provenance.order)},
                 {"preprocessing", provenance.preprocessing},
                 {"sampling", describe_sampling(provenance.sampling, provenance.beams)},
                 {"seed", provenance.sampling.seed},
                 {"max_tokens", provenance.max_tokens}});
  if (!provenance.schema.empty()) {
    object["schema"] = {{"name", provenance.schema}, {"sha256", provenance.schema_sha256}};
  }
  if (provenance.tagged_by) object["detector"] = detector_json(*provenance.tagged_by);
  return object;
}

double milliseconds(double seconds) {
  return std::round(seconds * 1e4) / 10;
}

Json timings_json(const Timings& timings) {
  return {{"image_tokens", timings.image_tokens},
          {"prompt_tokens", timings.prompt_tokens},
          {"answer_tokens", timings.answer_tokens},
          {"load_ms", milliseconds(timings.load_seconds)},
          {"preprocess_ms", milliseconds(timings.preprocess_seconds)},
          {"vision_ms", milliseconds(timings.vision_seconds)},
          {"prefill_ms", milliseconds(timings.prefill_seconds)},
          {"first_token_ms", milliseconds(timings.first_token_seconds())},
          {"decode_ms", milliseconds(timings.decode_seconds)},
          {"tokens_per_second", std::round(timings.tokens_per_second() * 10) / 10},
          {"passes", timings.drafts.passes},
          {"drafted_tokens", timings.drafts.drafted},
          {"accepted_tokens", timings.drafts.accepted}};
}

}  // namespace

std::string_view program_version() {
  return FASTVLM_VERSION;
}

std::string to_json(const Caption& caption, const ModelIdentity& model, std::string_view image,
                    const JsonOptions& options) {
  Json object = {{"image", image},
                 {"text", caption.text},
                 {"sections", sections_json(caption.sections)},
                 {"finish_reason", finish_reason_name(caption.finish)}};
  if (!caption.provenance.schema.empty() && !caption.sections.empty()) {
    object["finish_reasons"] = finish_reasons_json(caption.sections);
  }
  object["tags"] = tags_json(caption.tags);
  object["provenance"] = provenance_json(caption.provenance, model);
  if (options.timings) object["timings"] = timings_json(caption.timings);
  return object.dump(options.pretty ? 2 : -1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fastvlm
