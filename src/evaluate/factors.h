// SPDX-License-Identifier: Apache-2.0
// Kinds of scene by which scores are looked at apart: single or many objects, indoor or outdoor,
// visual density, animals, street, close-up, occlusion. Derived from COCO's instances by the rules
// in docs/METRICS.md, or read from a file.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "dataset/instances.h"

namespace fastvlm {

// Names such as "indoor", "density_high", in the order in which tables show them.
const std::vector<std::string>& factor_names();

// The factors of one image; crowds count as one object.
std::vector<std::string> factors_of(const ImageInstances& image);

// By image id. A file {"391895": ["indoor", "close_up"]} stands in for what instances say about the
// images in it; any names are allowed.
using Factors = std::unordered_map<std::string, std::vector<std::string>>;
Result<Factors> read_factors(const std::filesystem::path& path);

}  // namespace fastvlm
