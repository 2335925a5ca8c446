// SPDX-License-Identifier: Apache-2.0
// Captions as a page to look through: pictures, sections, tags, search. Goals: one file that needs
// no other and no network; memory does not grow with the number of pictures. Non-goals: scores
// (evaluate/report.h).
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"

namespace fastvlm {

struct GalleryPicture {
  std::filesystem::path file;
  std::string caption;  // a line of caption_json
};

// Writes the page of `count` pictures, which are asked for one after the other. A picture that
// cannot be read any more is shown without its image.
Status write_gallery(const std::filesystem::path& page, size_t count,
                     const std::function<Result<GalleryPicture>(size_t index)>& picture);

}  // namespace fastvlm
