// SPDX-License-Identifier: Apache-2.0
#include "dataset/coco_scene.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "base/strings.h"
#include "caption/objects.h"
#include "dataset/phrases.h"

namespace fastvlm {
namespace {

constexpr double kLeastShare = 0.0005;  // smaller objects are specks that nobody would mention

// What captions put into a picture as its ground rather than its subject.
const std::set<std::string, std::less<>> kGrounds = {"dining table", "bed", "couch", "chair",
                                                     "bench"};

// How much of what one caption says the others say too.
double typicality(const std::vector<std::vector<std::string>>& words, size_t which) {
  const std::set<std::string> own(words[which].begin(), words[which].end());
  double shared = 0;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i == which) continue;
    const std::set<std::string> theirs(words[i].begin(), words[i].end());
    const auto count = std::count_if(own.begin(), own.end(),
                                     [&](const auto& word) { return theirs.contains(word); });
    shared += static_cast<double>(count);
  }
  return shared / (2 + static_cast<double>(own.size()));
}

void read_captions_of(const CocoPicture& picture, CocoScene& scene) {
  std::vector<std::string> sentences;
  std::vector<std::vector<std::string>> words;
  for (const std::string& caption : picture.captions) {
    std::string sentence = as_sentence(caption);
    if (sentence.empty() ||
        std::find(sentences.begin(), sentences.end(), sentence) != sentences.end()) {
      continue;
    }
    words.push_back(object_words(sentence));
    sentences.push_back(std::move(sentence));
  }
  std::vector<double> weight;
  for (size_t i = 0; i < words.size(); ++i) weight.push_back(typicality(words, i));
  std::vector<size_t> order(words.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return weight[a] > weight[b]; });
  for (const size_t i : order) {
    scene.sentences.push_back(sentences[i]);
    scene.words.push_back(words[i]);
  }
}

struct Mentions {
  size_t captions = 0;                  // that name the kind
  std::map<std::string, size_t> names;  // of one object: "woman", "seagull"
};

bool means_one(const std::vector<std::string>& words, const ObjectMention& mention) {
  static const std::set<std::string, std::less<>> kMany = {
      "people", "men",     "women",   "children", "kids",    "geese",   "crowd", "couple",
      "family", "friends", "luggage", "baggage",  "cutlery", "traffic", "fruit", "produce"};
  const std::string& last = words[mention.word + mention.words - 1];
  return !kMany.contains(last) && !(last.ends_with('s') && !last.ends_with("ss"));
}

std::map<std::string, Mentions> mentions_of(const CocoScene& scene) {
  std::map<std::string, Mentions> all;
  for (const std::vector<std::string>& words : scene.words) {
    std::set<std::string> here;
    for (const ObjectMention& mention : ObjectNames::coco().mentions(words)) {
      if (is_denied(words, mention)) continue;
      if (here.insert(mention.kind).second) ++all[mention.kind].captions;
      if (!means_one(words, mention)) continue;
      std::string name;
      for (size_t i = 0; i < mention.words; ++i)
        name += (i > 0 ? " " : "") + words[mention.word + i];
      ++all[mention.kind].names[name];
    }
  }
  return all;
}

// What at least two captions call it, else the kind's own name.
std::string name_of(const KindGroup& group, const Mentions& mentions) {
  std::string name = group.plain_name();
  if (group.objects.size() != 1 || group.crowd) return name;
  size_t most = 1;
  for (const auto& [called, count] : mentions.names) {
    if (count > most) name = called;
    most = std::max(most, count);
  }
  return name;
}

double weight_of(const KindGroup& group, const Mentions& mentions, const CocoScene& scene) {
  const double share = std::min(0.5, share_of(group.largest(), scene.frame));
  const double mentioned = static_cast<double>(mentions.captions) /
                           static_cast<double>(std::max<size_t>(1, scene.sentences.size()));
  return (kGrounds.contains(group.kind) ? 0.2 : 1.0) * share + mentioned;
}

std::vector<KindGroup> groups_of(const CocoPicture& picture, const Frame& frame) {
  std::map<std::string, KindGroup> by_kind;
  for (const Instance& object : picture.objects) {
    KindGroup& group = by_kind[object.kind];
    group.kind = object.kind;
    if (object.crowd) group.crowd = true;
    if (!object.crowd && share_of(object, frame) >= kLeastShare) group.objects.push_back(&object);
  }
  std::vector<KindGroup> groups;
  for (auto& [kind, group] : by_kind) {
    std::stable_sort(group.objects.begin(), group.objects.end(),
                     [](const Instance* a, const Instance* b) { return a->area > b->area; });
    if (group.crowd || !group.objects.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace

std::string KindGroup::the_largest() const {
  if (objects.size() == 1 && !crowd) return "the " + name;
  const std::string many = plural_of(plain_name());
  return objects.size() == 2 && !crowd ? cat("the larger of the two ", many)
                                       : cat("the largest of the ", many);
}

std::string KindGroup::any_one() const {
  return objects.size() == 1 && !crowd ? "the " + name
                                       : cat("one of the ", plural_of(plain_name()));
}

std::string KindGroup::plain_name() const {
  return kind == "tv" ? "TV" : kind;
}

CocoScene scene_from(const CocoPicture& picture) {
  CocoScene scene;
  scene.frame = {picture.width, picture.height};
  read_captions_of(picture, scene);
  std::map<std::string, Mentions> mentions = mentions_of(scene);
  for (KindGroup& group : groups_of(picture, scene.frame)) {
    if (group.objects.empty()) {
      scene.crowds.push_back(group.kind);
      continue;
    }
    group.name = name_of(group, mentions[group.kind]);
    scene.groups.push_back(std::move(group));
  }
  if (scene.groups.empty()) return scene;
  std::stable_sort(scene.groups.begin(), scene.groups.end(), [](const auto& a, const auto& b) {
    return a.largest().area > b.largest().area;
  });
  const auto main = std::max_element(
      scene.groups.begin(), scene.groups.end(), [&](const KindGroup& a, const KindGroup& b) {
        return weight_of(a, mentions[a.kind], scene) < weight_of(b, mentions[b.kind], scene);
      });
  std::rotate(scene.groups.begin(), main, main + 1);
  return scene;
}

}  // namespace fastvlm
