// SPDX-License-Identifier: Apache-2.0
#include "dataset/coco_teacher.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/strings.h"
#include "caption/objects.h"
#include "caption/schema.h"
#include "dataset/coco_scene.h"
#include "dataset/llava.h"
#include "dataset/phrases.h"
#include "dataset/scene_words.h"
#include "dataset/seeded.h"

namespace fastvlm {
namespace {

constexpr size_t kMostListed = 7;     // kinds of objects in one sentence
constexpr size_t kMostRelations = 3;  // objects that are placed beside the main one

using Choices = std::vector<std::string>;

std::string in_one_text(const std::vector<std::string>& sentences) {
  std::string text;
  for (const std::string& sentence : sentences) {
    if (!sentence.empty()) text += cat(text.empty() ? "" : " ", sentence);
  }
  return text;
}

// Writes the sections of one picture. Captions are used up: none stands in two sections.
class Writer {
 public:
  Writer(const CocoPicture& picture, const PictureLook& look, uint64_t seed)
      : scene_(scene_from(picture)),
        look_(look),
        choice_(seed, picture.id),
        used_(scene_.sentences.size(), false),
        opening_(choice_.next()) {
    for (const KindGroup& group : scene_.groups) kinds_.push_back(group.kind);
    kinds_.insert(kinds_.end(), scene_.crowds.begin(), scene_.crowds.end());
    place_ = scene_of(scene_.words, kinds_);
  }

  std::array<std::string, kSectionCount> sections() {
    // The activities choose their captions before the sections that can do with any.
    std::string focus = main_focus();
    std::string activities = activities_and_interactions();
    std::string relations = spatial_relationships();
    std::string around = surroundings();
    return {std::move(focus),
            std::move(around),
            std::move(relations),
            std::move(activities),
            scene_type_and_time(),
            inferences(),
            style()};
  }

 private:
  const KindGroup* main_group() const {
    return scene_.groups.empty() ? nullptr : &scene_.groups.front();
  }

  std::string take(size_t caption) {
    used_[caption] = true;
    // No two captions of an answer are opened in the same way.
    static const Choices kOpenings = {"The picture shows", "There is", "In view is", "One sees",
                                      "Here is"};
    return completed(scene_.sentences[caption], kOpenings[opening_++ % kOpenings.size()]);
  }

  // The unused caption with the highest value of `worth`, if one is above 0.
  template <typename Worth>
  std::string take_best(const Worth& worth) {
    size_t best = scene_.sentences.size();
    double highest = 0;
    for (size_t i = 0; i < scene_.sentences.size(); ++i) {
      const double value = used_[i] ? 0 : worth(i);
      if (value > highest) best = i;
      highest = std::max(highest, value);
    }
    return best < scene_.sentences.size() ? take(best) : "";
  }

  // Captions that the others bear out are less likely to be wrong, and so are those that speak of
  // the scene rather than of the picture.
  double trust_in(size_t caption) const {
    static const std::set<std::string, std::less<>> kAside = {"we", "this", "i", "you"};
    const std::string first = scene_.words[caption].empty() ? "" : scene_.words[caption].front();
    const double rank = static_cast<double>(caption) / static_cast<double>(scene_.sentences.size());
    return (kAside.contains(first) ? 0.3 : 1.0) * (1 - 0.5 * rank);
  }

  std::string main_focus() {
    std::string described = take(0);
    const KindGroup* main = main_group();
    if (main == nullptr) return described;
    const std::string name = main->the_largest();
    const std::string_view part = share_words(share_of(main->largest(), scene_.frame));
    const std::string_view where = position_words(main->largest(), scene_.frame);
    if (where == kEverywhere) {
      return in_one_text(
          {described, choice_.of(Choices{cat(capitalised(name), " reaches ", where, "."),
                                         cat("It is ", name, " that reaches ", where, ".")})});
    }
    return in_one_text(
        {described,
         choice_.of(Choices{
             cat(capitalised(name), " takes up ", part, " of the picture, ", where, "."),
             cat("The eye goes to ", name, " ", where, ", filling ", part, " of the frame."),
             cat(capitalised(std::string(where)), ", ", name, " fills ", part,
                 " of the frame.")})});
  }

  // Everything that is marked besides the main object.
  std::vector<std::string> other_objects() const {
    std::vector<std::string> items;
    for (size_t i = 0; i < scene_.groups.size(); ++i) {
      const KindGroup& group = scene_.groups[i];
      const size_t count = group.objects.size() - (i == 0 ? 1 : 0);
      if (count > 0) {
        const bool more = i == 0;
        const std::string item = counted(more ? "other " + group.plain_name() : group.name, count);
        items.push_back(more && count == 1 ? "another " + group.plain_name() : item);
      }
      if (group.crowd) items.push_back(crowd_of(group.kind));
    }
    for (const std::string& kind : scene_.crowds) items.push_back(crowd_of(kind));
    if (items.size() > kMostListed) items.resize(kMostListed);
    return items;
  }

  static std::string crowd_of(const std::string& kind) {
    return kind == "person" ? "a crowd of people" : "a group of " + plural_of(kind);
  }

  std::string surroundings() {
    std::set<std::string> said;
    for (size_t i = 0; i < used_.size(); ++i) {
      if (used_[i]) said.insert(scene_.words[i].begin(), scene_.words[i].end());
    }
    const std::string more = take_best([&](size_t i) {
      const std::set<std::string> words(scene_.words[i].begin(), scene_.words[i].end());
      const auto added = std::count_if(words.begin(), words.end(),
                                       [&](const auto& word) { return !said.contains(word); });
      return static_cast<double>(added) * trust_in(i);
    });
    const std::vector<std::string> items = other_objects();
    if (items.empty()) {
      return in_one_text(
          {more, choice_.of(Choices{"Little else stands out.", "Nothing else draws much attention.",
                                    "The rest of the picture stays in the background."})});
    }
    const std::string list = enumerated(items);
    return in_one_text({choice_.of(Choices{cat("Also in the picture: ", list, "."),
                                           cat("The picture also shows ", list, "."),
                                           cat("Besides that one can see ", list, ".")}),
                        more});
  }

  std::string spatial_relationships() {
    std::vector<std::string> sentences;
    const KindGroup* main = main_group();
    for (size_t i = 1; i < scene_.groups.size() && sentences.size() < kMostRelations; ++i) {
      const KindGroup& other = scene_.groups[i];
      const std::string name = other.any_one();
      sentences.push_back(
          cat(capitalised(name), " is ",
              relation_words(other.largest(), main->largest(), main->the_largest(), scene_.frame),
              "."));
    }
    if (main != nullptr && sentences.size() < kMostRelations && main->objects.size() > 1) {
      sentences.push_back(
          cat("Another ", main->plain_name(), " is ",
              relation_words(*main->objects[1], main->largest(), "the largest one", scene_.frame),
              "."));
    }
    if (sentences.size() < 2)
      sentences.push_back(take_best([&](size_t i) { return prepositions(i); }));
    if (main != nullptr && sentences.size() < 2) {
      sentences.push_back(cat(capitalised(main->the_largest()), " is ",
                              position_words(main->largest(), scene_.frame), " of the picture."));
    }
    const std::string text = in_one_text(sentences);
    return text.empty() ? "Everything that is named stands together in one view." : text;
  }

  double prepositions(size_t caption) const {
    static const std::set<std::string, std::less<>> kWords = {
        "on",      "next",  "behind", "above", "near",    "beside", "under", "over",
        "between", "front", "below",  "top",   "beneath", "around", "along", "inside"};
    const auto& words = scene_.words[caption];
    const auto count = std::count_if(words.begin(), words.end(),
                                     [&](const auto& word) { return kWords.contains(word); });
    return static_cast<double>(count) * trust_in(caption);
  }

  std::string activities_and_interactions() {
    note_actions();
    const auto actions = [&](size_t i) {
      const bool any = !actions_.empty() && !verbs_of(scene_.sentences[i]).actions.empty();
      return any ? trust_in(i) : 0;
    };
    const std::string first = take_best(actions);
    if (!first.empty()) {
      const bool more = scene_.sentences.size() > 3 && choice_.below(2) == 0;
      return in_one_text({first, more ? take_best(actions) : ""});
    }
    if (!actions_.empty()) {
      return cat("What is going on is ", enumerated(actions_), ".");
    }
    const bool people = has_kind("person");
    if (people) {
      return choice_.of(Choices{"The people are there, but what they are doing is not clear.",
                                "No particular action of the people is noted."});
    }
    return choice_.of(Choices{"Nothing is happening at this moment; the scene is still.",
                              "The scene is still, without any movement to be seen.",
                              "No action is going on; everything is at rest."});
  }

  // Is there anybody or anything that can act? A book that is "sitting" on a bed does nothing.
  bool has_actor() const {
    static const std::set<std::string, std::less<>> kActors = {
        "person",   "bird",  "cat",   "dog",     "horse", "sheep",      "cow",
        "elephant", "bear",  "zebra", "giraffe", "car",   "motorcycle", "airplane",
        "bus",      "train", "truck", "boat",    "kite"};
    const auto acts = [](const std::string& kind) { return kActors.contains(kind); };
    if (std::any_of(kinds_.begin(), kinds_.end(), acts)) return true;
    const auto naming = std::count_if(
        scene_.words.begin(), scene_.words.end(), [&](const std::vector<std::string>& words) {
          const auto mentions = ObjectNames::coco().mentions(words);
          return std::any_of(mentions.begin(), mentions.end(),
                             [&](const ObjectMention& mention) { return acts(mention.kind); });
        });
    // One caption of several may mean something else: an "mp3 player".
    return naming > (scene_.words.size() > 2 ? 1 : 0);
  }

  // All that the captions say is being done, the most typical caption first.
  void note_actions() {
    if (!has_actor()) return;
    for (const std::string& sentence : scene_.sentences) {
      for (const std::string& action : verbs_of(sentence).actions) {
        if (std::find(actions_.begin(), actions_.end(), action) == actions_.end()) {
          actions_.push_back(action);
        }
      }
    }
  }

  bool has_kind(std::string_view kind) const {
    return std::find(kinds_.begin(), kinds_.end(), kind) != kinds_.end();
  }

  std::string scene_type_and_time() {
    const std::string where =
        place_.phrase.empty()
            ? choice_.of(Choices{"The kind of place cannot be told with certainty",
                                 "What kind of place this is stays open"})
            : choice_.of(Choices{cat("The scene is ", place_.phrase),
                                 cat("This looks like ", place_.phrase),
                                 cat("The setting is ", place_.phrase)});
    const std::string_view side = place_.setting == Setting::kOutdoors  ? ", outdoors"
                                  : place_.setting == Setting::kIndoors ? ", indoors"
                                                                        : "";
    return cat(where, side, "; ", time_words(), ".");
  }

  std::string time_words() {
    if (const std::string_view time = time_of(scene_.words); !time.empty()) {
      return cat("the picture was taken ", time);
    }
    if (place_.setting == Setting::kOutdoors && look_.brightness > 0.35) {
      return choice_.of(Choices{"the light is that of day", "it is by day, as the light shows"});
    }
    if (place_.setting == Setting::kOutdoors && look_.brightness < 0.2) {
      return "it is dark, so probably late in the day or at night";
    }
    return choice_.of(Choices{"the time of day cannot be told", "nothing shows the time of day"});
  }

  std::string inferences() {
    std::vector<std::string> sentences;
    for (const std::string& action : actions_) {
      const auto choices = inferences_of_action(action);
      if (choices.empty()) continue;
      sentences.emplace_back(choices[choice_.below(choices.size())]);
      break;
    }
    const KindGroup* main = main_group();
    const auto general = inferences_of_group(main == nullptr ? "" : main->largest().group);
    if (sentences.empty() || choice_.below(3) == 0) {
      sentences.emplace_back(general[choice_.below(general.size())]);
    }
    return in_one_text(sentences);
  }

  std::string style() {
    const std::string_view light = look_.brightness > 0.6    ? "bright"
                                   : look_.brightness > 0.42 ? "even"
                                   : look_.brightness > 0.27 ? "subdued"
                                                             : "dim";
    const std::string_view contrast = look_.contrast > 0.27   ? "strong contrasts"
                                      : look_.contrast > 0.18 ? "moderate contrasts"
                                                              : "soft contrasts";
    const std::string colors = color_words();
    const std::string measured = choice_.of(
        Choices{cat("The picture has ", light, " light, ", contrast, " and ", colors, "."),
                cat("The light is ", light, "; there are ", contrast, " and ", colors, "."),
                cat(capitalised(std::string(contrast)), " and ", colors, " go with a ",
                    mood_words(), " mood; the light is ", light, ".")});
    const std::string_view said = style_of(scene_.words);
    return in_one_text({measured, said.empty() ? "" : cat("It is ", said, ".")});
  }

  std::string color_words() const {
    if (look_.saturation < 0.02) return "hardly any color";
    const std::string_view strength = look_.saturation > 0.35   ? "vivid"
                                      : look_.saturation > 0.18 ? "natural"
                                                                : "muted";
    const std::string_view tone = look_.warmth > 0.06    ? "warm "
                                  : look_.warmth < -0.04 ? "cool "
                                                         : "";
    return cat(strength, " ", tone, "colors");
  }

  std::string_view mood_words() const {
    if (look_.brightness < 0.22) return "somber";
    if (look_.saturation > 0.3 || look_.brightness > 0.6) return "lively";
    return look_.contrast < 0.18 ? "quiet" : "matter-of-fact";
  }

  CocoScene scene_;
  PictureLook look_;
  SeededChoice choice_;
  std::vector<bool> used_;  // captions
  uint64_t opening_;
  std::vector<std::string> kinds_;
  std::vector<std::string> actions_;
  ScenePhrase place_;
};

}  // namespace

Result<std::string> coco_answer(const CocoPicture& picture, const PictureLook& look,
                                uint64_t seed) {
  const bool any = std::any_of(picture.captions.begin(), picture.captions.end(),
                               [](const auto& text) { return !as_sentence(text).empty(); });
  if (!any) {
    return error(Code::kInvalid,
                 cat(picture.file, ": has no caption that the coco teacher could use"),
                 "give captions for it, or use another teacher");
  }
  std::string answer = seven_sections_text(Writer(picture, look, seed).sections());
  // A caption may hold what reads like a heading.
  if (section_problems(answer).empty() && has_all_sections(answer)) return answer;
  return error(Code::kInvalid, cat(picture.file, ": its captions do not fit into seven sections"),
               "look at its captions, or use another teacher");
}

std::string seven_sections_text(const std::array<std::string, kSectionCount>& sections) {
  std::string text;
  for (size_t i = 0; i < kSectionCount; ++i) {
    text += cat(i > 0 ? "\n" : "", i + 1, ". ", section_title(kAllSections[i]), " – ", sections[i]);
  }
  return text;
}

}  // namespace fastvlm
