// SPDX-License-Identifier: Apache-2.0
// An evaluation as one HTML page that needs no other file: tables, and every image with its
// caption, references and scores, sortable, the worst first.
#pragma once

#include <filesystem>
#include <string>

#include "evaluate/evaluation.h"

namespace fastvlm {

// `pictures` is the folder that image file names are looked up in, for thumbnails; empty: none.
std::string html_report(const Evaluation& evaluation, const std::filesystem::path& pictures);

}  // namespace fastvlm
