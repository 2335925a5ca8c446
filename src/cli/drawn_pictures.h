// SPDX-License-Identifier: Apache-2.0
// `fastvlm detect --draw`: pictures with the boxes that were found.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "detect/detector.h"
#include "image/image.h"

namespace fastvlm::cli {

// Refuses a folder that is not there, that holds one of the pictures (which the drawn one might
// replace), or where two pictures would get the same name.
Status check_drawing(const std::filesystem::path& folder, const std::vector<std::string>& pictures);

// NAME.jpg where `picture` is named so, else NAME.png.
std::filesystem::path drawn_name(const std::string& picture);

// Writes `folder`/drawn_name(picture); labels are "person 0.87".
Status write_drawn(const std::filesystem::path& folder, const std::string& picture, Image image,
                   const std::vector<Detection>& detections);

}  // namespace fastvlm::cli
