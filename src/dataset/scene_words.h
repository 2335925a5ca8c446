// SPDX-License-Identifier: Apache-2.0
// What captions and objects tell of the place, the time, what happens next and the style of a
// picture: tables of words, and how they are looked up. Every phrase here names no object of COCO's
// 80 kinds, so that an answer made of them invents none.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fastvlm {

enum class Setting { kUnknown, kIndoors, kOutdoors };

struct ScenePhrase {
  std::string_view phrase;  // "a city street"; empty: nothing is known
  Setting setting = Setting::kUnknown;
};

// By what at least two captions say, else one; else by what objects of these kinds stand for.
ScenePhrase scene_of(const std::vector<std::vector<std::string>>& captions,
                     const std::vector<std::string>& kinds);

// "at night"; empty: no caption says.
std::string_view time_of(const std::vector<std::vector<std::string>>& captions);

// "a black-and-white picture"; empty: no caption says.
std::string_view style_of(const std::vector<std::vector<std::string>>& captions);

// Sentences on what comes next, by an action ("riding") or by COCO's group of the main object
// ("animal"; "" for none); empty for an action that is not known.
std::span<const std::string_view> inferences_of_action(std::string_view action);
std::span<const std::string_view> inferences_of_group(std::string_view group);

}  // namespace fastvlm
