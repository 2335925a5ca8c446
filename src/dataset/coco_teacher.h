// SPDX-License-Identifier: Apache-2.0
// A teacher without a network: answers of seven sections from what people wrote about a picture,
// the boxes that they drew, and the picture's light and colours. Goals: every section has a text
// that is true of its sources; no object is named that no source names; the same picture and seed,
// the same bytes. Non-goals: seeing what no person noted.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "caption/schema.h"
#include "dataset/coco.h"
#include "dataset/picture_look.h"

namespace fastvlm {

// kInvalid: the picture has no captions.
Result<std::string> coco_answer(const CocoPicture& picture, const PictureLook& look, uint64_t seed);

// "1. Main Focus – …" on a line of its own for each section.
std::string seven_sections_text(const std::array<std::string, kSectionCount>& sections);

}  // namespace fastvlm
