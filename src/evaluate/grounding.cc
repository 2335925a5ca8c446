// SPDX-License-Identifier: Apache-2.0
#include "evaluate/grounding.h"

#include <algorithm>
#include <set>

#include "base/strings.h"

namespace fastvlm {
namespace {

using Kinds = std::set<std::string>;
using Words = std::vector<std::string>;

// What is known about an image besides its caption.
struct Facts {
  Kinds present;  // annotated, or named by a reference
  Kinds annotated;
  std::vector<Tag> tags;  // with COCO's kinds for labels
};

Kinds kinds_of(const std::vector<ObjectMention>& mentions) {
  Kinds kinds;
  for (const ObjectMention& mention : mentions) kinds.insert(mention.kind);
  return kinds;
}

Facts facts_of(const EvaluatedImage& image, const ImageInstances& instances,
               const ObjectNames& names) {
  Facts facts;
  for (const Instance& object : instances.objects) facts.annotated.insert(object.kind);
  facts.present = facts.annotated;
  for (const std::string& reference : image.references) {
    facts.present.merge(kinds_of(names.mentions(object_words(reference))));
  }
  for (Tag tag : image.tags) {
    tag.label = names.kind_of(tag.label);
    if (!tag.label.empty()) facts.tags.push_back(std::move(tag));
  }
  return facts;
}

// "left" of "dog on the left"; empty when the words behind the mention name no third of the frame.
std::string said_position(const Words& words, const ObjectMention& mention) {
  constexpr size_t kReach = 5;
  const size_t first = mention.word + mention.words;
  const size_t last = std::min(words.size(), first + kReach);
  for (size_t i = first; i + 1 < last; ++i) {
    if (is_break(words[i])) return {};
    const bool places =
        words[i] == "on" || words[i] == "in" || words[i] == "at" || words[i] == "to";
    if (!places || words[i + 1] != "the" || i + 2 >= words.size()) continue;
    const std::string& side = words[i + 2];
    const bool of_something =  // "to the left of the car" is a relation, not a third of the frame
        i + 4 < words.size() && words[i + 3] == "of" && words[i + 4] == "the" &&
        (i + 5 >= words.size() ||
         (words[i + 5] != "frame" && words[i + 5] != "image" && words[i + 5] != "picture"));
    if (of_something) return {};
    if (side == "left" || side == "right") return side;
    if (side == "center" || side == "centre" || side == "middle") return "center";
  }
  return {};
}

bool contradicts(const Words& words, const ObjectMention& mention, const std::vector<Tag>& tags) {
  const auto same_kind = [&mention](const Tag& tag) { return tag.label == mention.kind; };
  if (std::none_of(tags.begin(), tags.end(), same_kind)) return false;
  if (is_denied(words, mention)) return true;
  const std::string position = said_position(words, mention);
  if (position.empty()) return false;
  return std::none_of(tags.begin(), tags.end(), [&](const Tag& tag) {
    return same_kind(tag) && (tag.position.empty() || tag.position == position);
  });
}

void note(std::vector<std::string>& list, const std::string& kind) {
  if (std::find(list.begin(), list.end(), kind) == list.end()) list.push_back(kind);
}

// The counts of one text; what it says is noted in `image`.
GroundingCounts counts_of(std::string_view text, const Facts& facts, const ObjectNames& names,
                          ImageGrounding& image) {
  const Words words = object_words(text);
  Kinds tagged;
  for (const Tag& tag : facts.tags) tagged.insert(tag.label);
  GroundingCounts counts;
  counts.captions = 1;
  Kinds named;
  Kinds unknown;
  Kinds contradicted;
  for (const ObjectMention& mention : names.mentions(words)) {
    if (contradicts(words, mention, facts.tags)) contradicted.insert(mention.kind);
    if (is_denied(words, mention)) continue;  // what is said to be absent is not named
    ++counts.mentions;
    named.insert(mention.kind);
    note(image.mentioned, mention.kind);
    if (!facts.present.contains(mention.kind)) {
      ++counts.hallucinated;
      note(image.hallucinated, mention.kind);
    }
    if (!facts.annotated.contains(mention.kind) && !tagged.contains(mention.kind)) {
      unknown.insert(mention.kind);
      note(image.unknown, mention.kind);
    }
  }
  for (const std::string& kind : contradicted) note(image.contradicted, kind);
  const auto named_of = [&named](const Kinds& kinds) {
    return static_cast<int>(std::count_if(
        kinds.begin(), kinds.end(), [&](const std::string& kind) { return named.contains(kind); }));
  };
  counts.hallucinating_captions = counts.hallucinated > 0 ? 1 : 0;
  counts.objects = static_cast<int>(facts.present.size());
  counts.recalled = named_of(facts.present);
  counts.tags = static_cast<int>(tagged.size());
  counts.tags_used = named_of(tagged);
  counts.tags_contradicted = static_cast<int>(contradicted.size());
  counts.unknown = static_cast<int>(unknown.size());
  return counts;
}

ImageGrounding ground_image(const EvaluatedImage& image, const Facts& facts,
                            const ObjectNames& names) {
  ImageGrounding grounding;
  grounding.counts = counts_of(image.candidate, facts, names, grounding);
  for (const std::string& kind : facts.present) {
    const auto& named = grounding.mentioned;
    if (std::find(named.begin(), named.end(), kind) == named.end()) {
      grounding.missed.push_back(kind);
    }
  }
  const Sections sections = parse_sections(image.candidate);
  ImageGrounding elsewhere;  // the lists are the whole caption's
  for (size_t i = 0; i < kSectionCount; ++i) {
    if (sections[i]) grounding.sections[i] = counts_of(*sections[i], facts, names, elsewhere);
  }
  return grounding;
}

}  // namespace

void GroundingCounts::add(const GroundingCounts& other) {
  captions += other.captions;
  hallucinating_captions += other.hallucinating_captions;
  mentions += other.mentions;
  hallucinated += other.hallucinated;
  objects += other.objects;
  recalled += other.recalled;
  tags += other.tags;
  tags_used += other.tags_used;
  tags_contradicted += other.tags_contradicted;
  unknown += other.unknown;
}

Result<Grounding> ground(const EvaluationSet& set, const Instances& instances,
                         const ObjectNames& names) {
  Grounding grounding;
  std::vector<std::string> missing;
  for (const EvaluatedImage& image : set.images) {
    const auto found = instances.find(image.id);
    if (found == instances.end()) {
      missing.push_back(image.id);
      continue;
    }
    ImageGrounding one = ground_image(image, facts_of(image, found->second, names), names);
    grounding.corpus.add(one.counts);
    for (size_t i = 0; i < kSectionCount; ++i) grounding.sections[i].add(one.sections[i]);
    grounding.images.push_back(std::move(one));
  }
  if (!missing.empty()) {
    return error(Code::kInvalid,
                 cat("--instances: images of the references are not in it: ", listed(missing)),
                 "give the instances of the same images");
  }
  return grounding;
}

}  // namespace fastvlm
