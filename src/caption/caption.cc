// SPDX-License-Identifier: Apache-2.0
#include "caption/caption.h"

#include "base/strings.h"

namespace fastvlm {

double Timings::tokens_per_second() const {
  const auto steps = static_cast<double>(answer_tokens - 1);
  return steps > 0 && decode_seconds > 0 ? steps / decode_seconds : 0.0;
}

double Timings::tokens_per_pass() const {
  if (drafts.passes == 0) return 0.0;
  return static_cast<double>(answer_tokens) / static_cast<double>(drafts.passes);
}

std::vector<std::string> bodies_of(const Caption& caption) {
  std::vector<std::string> bodies;
  if (caption.provenance.schema.empty()) return bodies;
  for (const CaptionSection& section : caption.sections) {
    if (section.text) bodies.push_back(*section.text);
  }
  return bodies;
}

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kLoop:
      return "loop";
    case FinishReason::kInterrupted:
      break;
  }
  return "interrupted";
}

std::string_view order_name(PromptOrder order) {
  return order == PromptOrder::kImageFirst ? "python" : "ios";
}

std::string_view arithmetic_name(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kF32:
      return "fp32";
    case Arithmetic::kBf16:
      return "bf16";
    case Arithmetic::kInt8:
      break;
  }
  return "int8";
}

std::string describe_precision(const Precision& precision) {
  const std::string_view vision = arithmetic_name(precision.vision);
  if (precision.vision == precision.language) return std::string(vision);
  return cat("vision ", vision, ", language ", arithmetic_name(precision.language));
}

std::string describe_sampling(const SamplingOptions& sampling, int beams) {
  std::vector<std::string> parts;
  if (beams > 1) parts.push_back(cat(beams, " beams"));
  if (sampling.temperature > 0) {
    parts.push_back(cat("temperature ", sampling.temperature));
    if (sampling.top_k > 0) parts.push_back(cat("top_k ", sampling.top_k));
    if (sampling.top_p < 1) parts.push_back(cat("top_p ", sampling.top_p));
  }
  if (parts.empty()) parts.emplace_back("greedy");
  if (sampling.repetition_penalty != 1) {
    parts.push_back(cat("repetition_penalty ", sampling.repetition_penalty));
  }
  if (sampling.dry_multiplier > 0) {
    parts.push_back(cat("dry ", sampling.dry_multiplier, " (base ", sampling.dry_base,
                        ", allowed length ", sampling.dry_allowed_length, ")"));
  }
  return joined(parts);
}

}  // namespace fastvlm
