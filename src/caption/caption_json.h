// SPDX-License-Identifier: Apache-2.0
// The one JSON form of a caption, docs/caption.schema.json: every front end writes it.
#pragma once

#include <string>
#include <string_view>

#include "caption/caption.h"
#include "caption/engine.h"

namespace fastvlm {

std::string_view program_version();  // "0.1.0"

struct JsonOptions {
  bool timings = false;    // the only part that differs from run to run
  bool pretty = false;     // over several lines, else on one
  bool grounding = false;  // what is known of Caption::objects
};

// One object, without a line end. `image` is the picture's name as the caller wants it shown; bytes
// that are not UTF-8 become U+FFFD.
std::string to_json(const Caption& caption, const ModelIdentity& model, std::string_view image,
                    const JsonOptions& options = {});

}  // namespace fastvlm
