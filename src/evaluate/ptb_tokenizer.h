// SPDX-License-Identifier: Apache-2.0
// Captions to tokens, as coco-caption has them: Stanford's PTBTokenizer with -preserveLines and
// -lowerCase over one stream of lines, then its list of punctuation is left out. Goals: the same
// tokens, string for string (docs/METRICS.md). Non-goals: other languages, other options.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace fastvlm {

// All `captions` as one stream, a line each: what ends a line may depend on how the next begins.
// Returns for each caption its lower-case tokens with a space between them, without punctuation. A
// caption must hold no line end (see has_line_end); one that does gives a space for it.
std::vector<std::string> tokenize_captions(std::span<const std::string> captions);

// The same before the punctuation is left out: the lexer's own output.
std::vector<std::string> ptb_lines(std::span<const std::string> captions);

// Whether `caption` holds a character that would end a line of the stream (CR, VT, FF, U+0085,
// U+2028, U+2029). LF is none: coco-caption itself reads it as a space.
bool has_line_end(const std::string& caption);

}  // namespace fastvlm
