// SPDX-License-Identifier: Apache-2.0
// The JSON form of what a detector found in one picture (docs/CLI.md, fastvlm detect --json).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/find_detector.h"
#include "detect/detector.h"

namespace fastvlm::cli {

// `input` is what was looked at with `options`, `name` what the picture is called.
nlohmann::ordered_json detections_json(const std::vector<Detection>& detections,
                                       const DetectorInput& input, const LoadedDetector& loaded,
                                       const DetectOptions& options, const std::string& name);

// To so many decimal places.
double rounded(double value, int places);

}  // namespace fastvlm::cli
