// SPDX-License-Identifier: Apache-2.0
// Whether a value says anything, and where one that was cut off can end decently.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace fastvlm {

// Whether `text` holds a letter, a digit or another whole character outside ASCII that is neither
// blank nor punctuation.
bool has_word(std::string_view text);

// Whether `text` ends with a full stop or its like, perhaps inside quotes or brackets.
bool ends_sentence(std::string_view text);

// Of a text that was cut off, as pieces (tokens): how many of them to keep, so that it ends with a
// whole sentence or line; if it has none, with a whole word; if it has none, with a whole
// character. What is kept has a word if the pieces have one.
size_t clean_length(std::span<const std::string_view> pieces);

}  // namespace fastvlm
