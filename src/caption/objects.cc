// SPDX-License-Identifier: Apache-2.0
#include "caption/objects.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/strings.h"
#include "text/characters.h"
#include "text/unicode.h"

namespace fastvlm {

extern const std::string_view kCocoObjects;  // made by the build

namespace {

constexpr std::string_view kBreaks = ".!?;:,";

std::string joined(const std::vector<std::string>& words, size_t first, size_t count) {
  std::string text;
  for (size_t i = first; i < first + count; ++i) {
    if (i > first) text += ' ';
    text += words[i];
  }
  return text;
}

// What a plural may be the plural of, the likeliest first.
std::vector<std::string> singulars(const std::string& word) {
  std::vector<std::string> forms = {word};
  const auto without = [&word](size_t count) { return word.substr(0, word.size() - count); };
  if (word.size() > 3 && word.ends_with("ies")) forms.push_back(without(3) + "y");
  if (word.size() > 3 && word.ends_with("es")) forms.push_back(without(2));
  if (word.size() > 2 && word.ends_with('s') && !word.ends_with("ss")) forms.push_back(without(1));
  return forms;
}

}  // namespace

std::vector<std::string> object_words(std::string_view text, std::vector<TextRange>* places) {
  std::vector<std::string> words;
  std::u32string word;
  size_t begin = 0;
  const auto add = [&](std::string found, size_t end) {
    words.push_back(std::move(found));
    if (places != nullptr) places->push_back({begin, end});
  };
  const auto close = [&](size_t end) {
    if (!word.empty()) add(to_utf8(lower_case(word)), end);
    word.clear();
  };
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_front(text.substr(at)).length;
    const char32_t point = code_points(text.substr(at, length))[0];
    if (is_letter(point) || is_digit(point)) {
      if (word.empty()) begin = at;
      word += point;
    } else {
      // dog's is the dog, don't one word; in both what follows the apostrophe names nothing.
      close(at);
      begin = at;
      const bool breaks =
          point < 0x80 && kBreaks.find(static_cast<char>(point)) != std::string::npos;
      if (breaks) add(point == ',' ? "," : ".", at + length);
    }
    at += length;
  }
  close(text.size());
  return words;
}

bool is_break(std::string_view word) {
  return word == "." || word == ",";
}

namespace {

// Does one of `signs` stand up to three words before, in the same part of the sentence?
bool follows(const std::vector<std::string>& words, const ObjectMention& mention,
             const std::set<std::string>& signs) {
  constexpr size_t kReach = 3;
  for (size_t back = 1; back <= std::min(kReach, mention.word); ++back) {
    const std::string& word = words[mention.word - back];
    if (is_break(word)) return false;
    if (signs.contains(word)) return true;
  }
  return false;
}

}  // namespace

bool is_denied(const std::vector<std::string>& words, const ObjectMention& mention) {
  static const std::set<std::string> kDenials = {"no",  "without", "not",   "neither",
                                                 "nor", "lacks",   "absent"};
  return follows(words, mention, kDenials);
}

bool is_likened(const std::vector<std::string>& words, const ObjectMention& mention) {
  static const std::set<std::string> kLikenesses = {"like"};
  return follows(words, mention, kLikenesses);
}

Result<ObjectNames> ObjectNames::parse(std::string_view text, const std::string& name) {
  ObjectNames names;
  size_t number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    if (trimmed(line).empty() || line[0] == '#') continue;
    const size_t colon = line.find(':');
    if (colon == std::string::npos) {
      return error(Code::kInvalid,
                   cat(name, ": line ", number, ": expected `kind: name, name`, found ", line),
                   "see data/coco_objects.txt");
    }
    const std::string kind(trimmed(line.substr(0, colon)));
    std::vector<std::string> all = split(line.substr(colon + 1), ',');
    if (!kind.empty()) {
      names.kinds_.push_back(kind);
      all.push_back(kind);
    }
    for (const std::string& one : all) {
      const std::vector<std::string> words = object_words(one);
      if (words.empty()) continue;
      names.kind_of_name_.emplace(joined(words, 0, words.size()), kind);
      names.longest_ = std::max(names.longest_, words.size());
    }
  }
  return names;
}

const ObjectNames& ObjectNames::coco() {
  static const Result<ObjectNames> kNames = parse(kCocoObjects, "data/coco_objects.txt");
  return *kNames;
}

std::vector<ObjectMention> ObjectNames::mentions(const std::vector<std::string>& words) const {
  std::vector<ObjectMention> found;
  for (size_t at = 0; at < words.size();) {
    size_t used = 1;
    for (size_t count = std::min(longest_, words.size() - at); count > 0; --count) {
      const std::string before = count > 1 ? joined(words, at, count - 1) + " " : "";
      bool matched = false;
      for (const std::string& last : singulars(words[at + count - 1])) {
        const auto name = kind_of_name_.find(before + last);
        if (name == kind_of_name_.end()) continue;
        if (!name->second.empty()) found.push_back({name->second, at, count});
        used = count;
        matched = true;
        break;
      }
      if (matched) break;
    }
    at += used;
  }
  return found;
}

std::string ObjectNames::kind_of(std::string_view label) const {
  const std::vector<ObjectMention> found = mentions(object_words(label));
  return found.empty() ? std::string() : found[0].kind;
}

}  // namespace fastvlm
