// SPDX-License-Identifier: Apache-2.0
// METEOR's own text normalisation (its option -norm, English), which runs on captions that are
// tokens already: n't becomes n 't, hyphens part words, the dots of acronyms go (u.s. -> us).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fastvlm {

// The words of `tokens`, in lower case.
std::vector<std::string> meteor_words(std::string_view tokens);

}  // namespace fastvlm
