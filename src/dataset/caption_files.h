// SPDX-License-Identifier: Apache-2.0
// Captions from the files that people have: COCO captions and results, LLaVA conversations, and
// what `fastvlm caption --json` writes. Goals: nothing is dropped without a word; a caption that
// cannot be scored as it stands is named by its image. Non-goals: pictures.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "caption/tags.h"

namespace fastvlm {

// What one file says about one image.
struct ImageCaptions {
  std::string id;    // "391895", or the picture's name where the file has no ids
  std::string file;  // the picture's file, as the file names it; may be empty
  std::vector<std::string> captions;
  std::vector<Tag> tags = {};      // `caption --json` writes those that the prompt held
  std::string finish_reason = {};  // "stop", "length", "loop"; empty where the file has none
};

struct CaptionFile {
  std::string name;  // the file's, for messages
  std::vector<ImageCaptions> images;
  std::vector<std::string> without_utf8;  // ids of captions with bytes that are not UTF-8
};

// COCO captions (`images` and `annotations`): in the order of `images`, an image without a caption
// included. COCO results, LLaVA conversations, JSON lines: in the order of the file. An image that
// comes again adds its captions to the first.
Result<CaptionFile> read_captions(const std::filesystem::path& path);
Result<CaptionFile> parse_captions(std::string_view text, const std::string& name);

// Tags alone: a JSON list, or JSON lines, of {"image" or "image_id", "tags": […]}, the tags as
// `caption --json` writes them or as texts: "person (left)". The images have no captions.
Result<CaptionFile> read_tags(const std::filesystem::path& path);

}  // namespace fastvlm
