// SPDX-License-Identifier: Apache-2.0
// English for lists of things: articles, plurals, numbers in words, and captions as sentences.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fastvlm {

std::string plural_of(const std::string& name);     // "dogs", "knives", "pieces of broccoli"
std::string with_article(const std::string& name);  // "a dog", "an oven", "a pair of scissors"
// "a dog", "two dogs", "more than ten dogs".
std::string counted(const std::string& name, size_t count);
std::string enumerated(const std::vector<std::string>& items);  // "a, b and c"
std::string capitalised(std::string text);
std::string with_small_start(std::string text);

// A caption as people write it, made a sentence: blanks and marks in order, one full stop, a
// capital letter at the start, no text in capitals alone.
std::string as_sentence(std::string_view caption);

// What a caption does, as far as a short list of verbs tells.
struct CaptionVerbs {
  std::vector<std::string> actions;  // "sitting", in the order of the caption
  bool finite = false;               // it has a verb that makes it a sentence
  // Behind which word "is" or "are" makes "A man riding a horse" a sentence; 0: nowhere.
  size_t gap = 0;
};
CaptionVerbs verbs_of(std::string_view sentence);

// "A man riding a horse." -> "A man is riding a horse."; "A bowl with a fork." -> "`opening` a bowl
// with a fork."; a caption that is a sentence, or that nobody can tell of, stays as it is.
std::string completed(const std::string& sentence, const std::string& opening);

}  // namespace fastvlm
