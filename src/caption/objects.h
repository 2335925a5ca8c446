// SPDX-License-Identifier: Apache-2.0
// Which of COCO's 80 kinds of object a text names. Goals: the words that people use for them, in
// singular and plural, "hot dog" not taken for a dog. Non-goals: other kinds, coreference.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct ObjectMention {
  std::string kind;  // COCO's name: "person", "dining table"
  size_t word;       // its first word among those of object_words(text)
  size_t words;      // how many they are
};

struct TextRange {  // bytes of a text
  size_t begin;
  size_t end;
};

// The words of a text in small letters; the ends of sentences and clauses are "." and ",".
// `places`, when given, becomes where each of them stands.
std::vector<std::string> object_words(std::string_view text,
                                      std::vector<TextRange>* places = nullptr);

// Is the object said to be absent: no dog, without a dog, not any dogs?
bool is_denied(const std::vector<std::string>& words, const ObjectMention& mention);
// Is it only what something is likened to, as in "like a book"?
bool is_likened(const std::vector<std::string>& words, const ObjectMention& mention);
bool is_break(std::string_view word);  // "." or ","

class ObjectNames {
 public:
  // Lines "kind: name, name"; # begins a comment. `name` stands in messages.
  static Result<ObjectNames> parse(std::string_view text, const std::string& name);
  static const ObjectNames& coco();  // data/coco_objects.txt

  // The longest names first, from left to right.
  std::vector<ObjectMention> mentions(const std::vector<std::string>& words) const;
  // The kind that a detector's label or a name stands for; empty when there is none.
  std::string kind_of(std::string_view label) const;
  const std::vector<std::string>& kinds() const { return kinds_; }

 private:
  std::vector<std::string> kinds_;
  std::unordered_map<std::string, std::string> kind_of_name_;  // empty kind: a name to step over
  size_t longest_ = 1;
};

}  // namespace fastvlm
