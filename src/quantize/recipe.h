// SPDX-License-Identifier: Apache-2.0
// How many bits which weight gets.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/affine_writer.h"

namespace fastvlm {

struct Recipe {
  AffineSettings linear;     // of the decoder's and the projector's linear layers
  AffineSettings embedding;  // of a tied model this is the head
  AffineSettings head;

  // Of a canonical name (formats/checkpoint.h).
  const AffineSettings& of(std::string_view name) const;
};

// "uniform": the same everywhere; "head8": the head at 8 bits, in a tied model the embedding that
// serves as head; "embed8": embedding and head at 8 bits. kUsage for another name, a width that MLX
// does not have, or a group other than 32, 64 or 128.
Result<Recipe> make_recipe(const std::string& name, const AffineSettings& settings, bool tied);
std::vector<std::string> recipe_names();

}  // namespace fastvlm
