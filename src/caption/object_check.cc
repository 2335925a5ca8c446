// SPDX-License-Identifier: Apache-2.0
#include "caption/object_check.h"

#include <algorithm>

#include "caption/objects.h"

namespace fastvlm {
namespace {

// Where the bodies stand in `text`; the whole of it when they are not there. They are looked for
// from the end: behind a body stands nothing, or a line end and the next header, which is part of
// one line, so that a header that holds the words of its body is not taken for it.
std::vector<TextRange> places_of(std::string_view text, const std::vector<std::string>& bodies) {
  std::vector<TextRange> places;
  size_t end = text.size();
  for (auto body = bodies.rbegin(); body != bodies.rend(); ++body) {
    const size_t begin = text.substr(0, end).rfind(*body);
    if (begin == std::string_view::npos) return {{0, text.size()}};
    places.push_back({begin, begin + body->size()});
    const size_t line_end = text.substr(0, begin).rfind('\n');
    end = line_end == std::string_view::npos ? 0 : line_end;
  }
  if (places.empty()) return {{0, text.size()}};
  std::reverse(places.begin(), places.end());
  return places;
}

struct NamedObject {
  std::string kind;
  TextRange place;
};

// The objects that a text says to be there; `visit_words` sees the words of each body.
template <typename Visitor>
std::vector<NamedObject> named_objects(std::string_view text,
                                       const std::vector<std::string>& bodies,
                                       Visitor visit_words) {
  std::vector<NamedObject> named;
  for (const TextRange& body : places_of(text, bodies)) {
    std::vector<TextRange> places;
    const std::vector<std::string> words =
        object_words(text.substr(body.begin, body.end - body.begin), &places);
    visit_words(words);
    for (const ObjectMention& mention : ObjectNames::coco().mentions(words)) {
      if (is_denied(words, mention) || is_likened(words, mention)) continue;
      const size_t last = mention.word + mention.words - 1;
      named.push_back(
          {mention.kind, {body.begin + places[mention.word].begin, body.begin + places[last].end}});
    }
  }
  return named;
}

// Labels that are none of COCO's kinds are looked for word by word.
bool has_words(const std::vector<std::string>& words, const std::string& label) {
  const std::vector<std::string> wanted = object_words(label);
  const auto same = [](const std::string& word, const std::string& name) {
    return word == name || word == name + "s" || word == name + "es";
  };
  return !wanted.empty() &&
         std::search(words.begin(), words.end(), wanted.begin(), wanted.end(), same) != words.end();
}

void add_once(std::vector<std::string>& list, const std::string& label) {
  if (std::find(list.begin(), list.end(), label) == list.end()) list.push_back(label);
}

}  // namespace

ObjectKinds all_object_kinds() {
  const std::vector<std::string>& kinds = ObjectNames::coco().kinds();
  return {kinds.begin(), kinds.end()};
}

ObjectKinds kinds_known_by(const std::vector<std::string>& labels) {
  ObjectKinds kinds;
  for (const std::string& label : labels) {
    const std::vector<std::string> words = object_words(label);
    const std::vector<ObjectMention> found = ObjectNames::coco().mentions(words);
    if (found.size() == 1 && found[0].words == words.size()) kinds.insert(found[0].kind);
  }
  return kinds;
}

ObjectKinds ObjectCheck::unseen_kinds() const {
  ObjectKinds kinds;
  for (const UnseenObject& object : unseen) kinds.insert(object.kind);
  return kinds;
}

ObjectCheck check_objects(std::string_view text, const std::vector<std::string>& bodies,
                          const std::vector<Tag>& tags, const ObjectKinds& knowable) {
  std::vector<std::vector<std::string>> words;
  const std::vector<NamedObject> named = named_objects(
      text, bodies, [&](const std::vector<std::string>& each) { words.push_back(each); });
  const auto is_named = [&](const std::string& kind) {
    return std::any_of(named.begin(), named.end(),
                       [&](const NamedObject& object) { return object.kind == kind; });
  };
  ObjectCheck check;
  ObjectKinds seen;
  for (const Tag& tag : tags) {
    const std::string kind = ObjectNames::coco().kind_of(tag.label);
    seen.insert(kind);
    const bool mentioned =
        kind.empty() ? std::any_of(words.begin(), words.end(),
                                   [&](const auto& each) { return has_words(each, tag.label); })
                     : is_named(kind);
    add_once(mentioned ? check.mentioned : check.not_mentioned, tag.label);
  }
  for (const NamedObject& object : named) {
    if (seen.contains(object.kind) || !knowable.contains(object.kind)) continue;
    const auto [begin, end] = object.place;
    check.unseen.push_back({object.kind, std::string(text.substr(begin, end - begin)), begin, end});
  }
  return check;
}

std::vector<std::string> cut_at_objects(std::string_view text,
                                        const std::vector<std::string>& bodies,
                                        const ObjectKinds& kinds) {
  std::vector<std::string> pieces;
  size_t at = 0;
  for (const NamedObject& object : named_objects(text, bodies, [](const auto&) {})) {
    if (!kinds.contains(object.kind)) continue;
    const auto [begin, end] = object.place;
    pieces.emplace_back(text.substr(at, begin - at));
    pieces.emplace_back(text.substr(begin, end - begin));
    at = end;
  }
  pieces.emplace_back(text.substr(at));
  return pieces;
}

std::string mark_objects(std::string_view text, const std::vector<std::string>& bodies,
                         const ObjectKinds& kinds) {
  std::string marked;
  const std::vector<std::string> pieces = cut_at_objects(text, bodies, kinds);
  for (size_t i = 0; i < pieces.size(); ++i) {
    marked += pieces[i];
    if (i % 2 == 1) marked += kUnseenMark;
  }
  return marked;
}

}  // namespace fastvlm
