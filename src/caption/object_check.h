// SPDX-License-Identifier: Apache-2.0
// Whether a caption names what was seen: which of its tags it mentions, and which of COCO's kinds
// it names although no tag stands for them. Goals: no accusation for kinds that the source of the
// tags cannot know. Non-goals: where and how many things are (evaluate/grounding.h), and truth: a
// detector errs too.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "caption/tags.h"

namespace fastvlm {

// What texts for people have behind a mention of something that nobody saw.
inline constexpr std::string_view kUnseenMark = " [unseen]";

using ObjectKinds = std::set<std::string>;  // by COCO's names

ObjectKinds all_object_kinds();
// Those that somebody can know who has these names for things. A name must stand for the kind as a
// whole: who knows "person with hat" does not know persons.
ObjectKinds kinds_known_by(const std::vector<std::string>& labels);

struct UnseenObject {
  std::string kind;
  std::string words;  // as they stand in the text
  size_t begin = 0;   // bytes of the text
  size_t end = 0;
};

struct ObjectCheck {
  std::vector<std::string> mentioned;      // labels of tags, each once, in the order of the tags
  std::vector<std::string> not_mentioned;  // the other tags' labels
  std::vector<UnseenObject> unseen;        // every mention, in the order of the text

  ObjectKinds unseen_kinds() const;
};

// `bodies`: the values of the text's sections in their order, whose headers then name nothing;
// none: the whole text counts. `knowable` are the kinds that the source of the tags can know. What
// is said to be absent, or only likened to, is not mentioned.
ObjectCheck check_objects(std::string_view text, const std::vector<std::string>& bodies,
                          const std::vector<Tag>& tags, const ObjectKinds& knowable);

// The text in pieces: the second, the fourth and so on are mentions of `kinds`.
std::vector<std::string> cut_at_objects(std::string_view text,
                                        const std::vector<std::string>& bodies,
                                        const ObjectKinds& kinds);

// The text with kUnseenMark behind each mention of `kinds`.
std::string mark_objects(std::string_view text, const std::vector<std::string>& bodies,
                         const ObjectKinds& kinds);

}  // namespace fastvlm
