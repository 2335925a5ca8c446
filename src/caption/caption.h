// SPDX-License-Identifier: Apache-2.0
// What is asked of the engine and what it answers, as plain data.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caption/caption_schema.h"
#include "caption/json_shape.h"
#include "caption/object_check.h"
#include "caption/prompt.h"
#include "caption/schema.h"
#include "caption/tags.h"
#include "kernels/precision.h"
#include "language/decoding.h"
#include "text/conversation.h"

namespace fastvlm {

// The detector that the tags come from, and its settings.
struct TagDetector {
  std::string name;     // "YOLO11n"
  std::string weights;  // the file's name, not its path
  std::string sha256;   // of the file
  Arithmetic precision = Arithmetic::kF32;
  float confidence = 0.5F;
  float iou = 0.5F;
  int size = 640;       // of the longer side that it saw, pixels
  bool counts = false;  // whether equal tags became one with their number
};

struct CaptionRequest {
  std::string prompt{seven_point_prompt()};
  // The sections that the answer is made to have. None: the seven points where the prompt asks for
  // them, else a free answer.
  std::shared_ptr<const CaptionSchema> schema;
  std::shared_ptr<const JsonSchema> json_schema;  // in its place: the answer is JSON that fits
  bool free = false;                              // the model writes as it likes, headers too
  std::vector<Tag> tags;                 // in the order in which they are to stand in the prompt
  std::optional<TagDetector> tagged_by;  // none: a person or a file
  // The kinds of object that the source of the tags can know. None: there is no source, so that
  // nobody can tell which objects were seen.
  std::shared_ptr<const ObjectKinds> knowable;
  PromptOrder order = PromptOrder::kImageFirst;
  SamplingOptions sampling;  // greedy
  int beams = 1;             // with more than one an answer is free, and a schema is refused
  int64_t max_tokens = 256;
  bool stop_on_loop = true;  // end a free answer that only repeats itself; not with beams
  // Called with pieces of the answer as they come, whole characters only; joined they are the
  // caption's text. Returning false ends the answer. Under a schema a section comes when it is
  // finished, with beams the whole answer at the end.
  std::function<bool(std::string_view piece)> on_text = {};
  // Called once the picture's tokens are known, before the prompt is read; false ends the work
  // there with kInterrupted.
  std::function<bool()> on_seen = {};
  // Asked before each token is computed: false ends the answer at once (a caller who left, a time
  // that is over). Not with beams.
  std::function<bool()> go_on = {};
};

// How the products of the tower and of the decoder are computed.
struct Precision {
  Arithmetic vision = Arithmetic::kF32;
  Arithmetic language = Arithmetic::kF32;
};

// What the answer depends on, besides the image. Holds no time, host, thread count or path.
struct Provenance {
  std::string prompt_sha256;  // of question_text(tags, prompt)
  PromptOrder order = PromptOrder::kImageFirst;
  std::string preprocessing;
  Precision precision;
  SamplingOptions sampling;
  int beams = 1;
  int64_t max_tokens = 0;
  std::optional<TagDetector> tagged_by;
  std::string schema;         // that the answer was made to fit: its name; empty: a free answer
  std::string schema_sha256;  // of its file
};

struct Timings {
  int64_t image_tokens = 0;
  int64_t prompt_tokens = 0;       // image tokens included
  int64_t prompt_tokens_kept = 0;  // of them, those known from the prompt before
  int64_t answer_tokens = 0;
  double load_seconds = 0;  // weights read for this caption, when tower and decoder take turns
  double preprocess_seconds = 0;
  double vision_seconds = 0;  // tower and projector
  bool vision_kept = false;   // the picture's tokens were known
  double prefill_seconds = 0;
  double decode_seconds = 0;
  DraftCounts drafts = {};  // passes 0: not counted (beams)

  double first_token_seconds() const {
    return preprocess_seconds + vision_seconds + prefill_seconds;
  }
  double tokens_per_second()
      const;  // of the answer after its first token; 0 when there is nothing to measure
  double tokens_per_pass() const;  // of the model, for the answer; the same
};

struct CaptionSection {
  std::string key;                     // "main_focus"
  std::string title;                   // "Main Focus"
  std::optional<std::string> text;     // none: the answer has no such section
  std::optional<FinishReason> finish;  // why it ends; none in a free answer
};

struct Caption {
  std::string text;  // the answer without blanks at its ends
  std::vector<CaptionSection>
      sections;  // none of JSON; of the schema; those found in a free answer, all seven
  // Of an answer under a schema: kLength if a section ended so, else kLoop if one did.
  FinishReason finish = FinishReason::kStop;
  std::vector<Tag> tags;
  std::optional<ObjectCheck> objects;  // none: no tags are known, or the answer is JSON
  Provenance provenance;
  Timings timings;
};

// The values under the headers that the program wrote; none in a free answer.
std::vector<std::string> bodies_of(const Caption& caption);

std::string_view finish_reason_name(
    FinishReason reason);                                 // "stop", "length", "loop", "interrupted"
std::string_view order_name(PromptOrder order);           // "python", "ios": as --order takes it
std::string_view arithmetic_name(Arithmetic arithmetic);  // "fp32", "bf16", "int8"
// "int8", or "vision fp32, language int8" where they differ.
std::string describe_precision(const Precision& precision);
// "greedy", "temperature 0.2, top_k 50, top_p 0.9", "4 beams", "greedy, repetition_penalty 1.1".
std::string describe_sampling(const SamplingOptions& sampling, int beams);

}  // namespace fastvlm
