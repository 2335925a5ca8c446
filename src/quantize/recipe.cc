// SPDX-License-Identifier: Apache-2.0
#include "quantize/recipe.h"

#include "base/strings.h"
#include "formats/affine.h"

namespace fastvlm {
namespace {

constexpr char kUniform[] = "uniform";
constexpr char kHead8[] = "head8";
constexpr char kEmbed8[] = "embed8";

}  // namespace

const AffineSettings& Recipe::of(std::string_view name) const {
  if (name == "model.embed_tokens.weight") return embedding;
  return name == "lm_head.weight" ? head : linear;
}

std::vector<std::string> recipe_names() {
  return {kUniform, kHead8, kEmbed8};
}

Result<Recipe> make_recipe(const std::string& name, const AffineSettings& settings, bool tied) {
  if (!is_affine_width(settings.bits)) {
    return error(Code::kUsage, cat("bits: expected 2, 3, 4, 6 or 8, found ", settings.bits));
  }
  if (settings.group != 32 && settings.group != 64 && settings.group != 128) {
    return error(Code::kUsage, cat("group: expected 32, 64 or 128, found ", settings.group));
  }
  Recipe recipe{settings, settings, settings};
  if (name == kUniform) return recipe;
  if (name != kHead8 && name != kEmbed8) {
    return error(Code::kUsage, cat("recipe: expected ", kUniform, ", ", kHead8, " or ", kEmbed8,
                                   ", found \"", printable(name), "\""));
  }
  recipe.head.bits = 8;
  if (tied || name == kEmbed8) recipe.embedding.bits = 8;
  return recipe;
}

}  // namespace fastvlm
