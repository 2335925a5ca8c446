// SPDX-License-Identifier: Apache-2.0
// Bodies of our own routes, POST /v1/captions and /v1/detections, as JSON or as a form with a file.
// The fields are those of `fastvlm caption`; one that is not known is refused, since it is a typing
// error.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "caption/caption.h"
#include "serve/chat_request.h"

namespace fastvlm {

struct PictureRequest {
  PictureSource picture;
  std::string name = "image";  // that the answer calls it
};

struct CaptionTask : PictureRequest {
  CaptionRequest caption;
  bool detect = true;           // tags are the detector's, where there is one; else caption.tags
  bool tagged = false;          // caption.tags were given
  bool verify_objects = false;  // grounding in the answer
};

// Errors are about a field, which `param` is set to ("" when they are about the whole body). Of a
// `content_type` multipart/form-data the part "image" is the file, the others are fields.
Result<CaptionTask> parse_caption_request(std::string_view body, std::string_view content_type,
                                          const TokenLimits& limits, std::string& param);
Result<PictureRequest> parse_picture_request(std::string_view body, std::string_view content_type,
                                             std::string& param);

// Whether a body of that type is a form; else it is JSON, or nothing that is read.
bool is_form(std::string_view content_type);
bool is_json(std::string_view content_type);

}  // namespace fastvlm
