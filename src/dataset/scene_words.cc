// SPDX-License-Identifier: Apache-2.0
#include "dataset/scene_words.h"

#include <algorithm>
#include <map>

#include "base/strings.h"

namespace fastvlm {
namespace {

using Captions = std::vector<std::vector<std::string>>;
using Sentences = std::vector<std::string_view>;

constexpr auto kIn = Setting::kIndoors;
constexpr auto kOut = Setting::kOutdoors;

struct SceneRow {
  std::vector<std::string_view> words;  // of captions: any of them
  ScenePhrase scene;
};

// The more telling first: of those that two captions stand for, else one, the first counts.
const std::vector<SceneRow>& scene_rows() {
  static const std::vector<SceneRow> kRows = {
      {{"kitchen"}, {"a kitchen", kIn}},
      {{"bathroom", "restroom", "shower"}, {"a bathroom", kIn}},
      {{"bedroom"}, {"a bedroom", kIn}},
      {{"living room"}, {"a living room", kIn}},
      {{"dining room"}, {"a dining room", kIn}},
      {{"office"}, {"an office", kIn}},
      {{"classroom"}, {"a classroom", kIn}},
      {{"library"}, {"a library", kIn}},
      {{"airport terminal", "baggage claim", "airport"}, {"an airport", Setting::kUnknown}},
      {{"runway", "tarmac", "airfield"}, {"an airfield", kOut}},
      {{"train station", "subway station", "platform"}, {"a station", Setting::kUnknown}},
      {{"restaurant", "cafe", "diner"}, {"a restaurant", kIn}},
      {{"bakery"}, {"a bakery", kIn}},
      {{"market", "grocery", "supermarket"}, {"a market", Setting::kUnknown}},
      {{"store", "shop"}, {"a shop", Setting::kUnknown}},
      {{"museum"}, {"a museum", kIn}},
      {{"church"}, {"a place near a church", kOut}},
      {{"zoo"}, {"a zoo", kOut}},
      {{"farm", "barn"}, {"a farm", kOut}},
      {{"tennis court", "tennis"}, {"a tennis court", kOut}},
      {{"baseball field", "baseball", "ballpark"}, {"a ball field", kOut}},
      {{"soccer", "soccer field"}, {"a playing field", kOut}},
      {{"skate park", "skatepark", "ramp"}, {"a skate park", kOut}},
      {{"ski slope", "slope", "snowy hill", "mountainside", "ski resort"}, {"a snowy slope", kOut}},
      {{"beach", "shore", "shoreline"}, {"a beach", kOut}},
      {{"ocean", "sea", "wave", "waves", "surf"}, {"the open sea near the shore", kOut}},
      {{"harbor", "harbour", "marina", "dock", "pier"}, {"a harbor", kOut}},
      {{"river", "lake", "pond"}, {"the water's edge", kOut}},
      {{"forest", "woods", "jungle"}, {"a forest", kOut}},
      {{"pasture", "meadow", "grassland", "savannah", "savanna"}, {"open grassland", kOut}},
      {{"park", "garden", "playground"}, {"a park", kOut}},
      {{"parking lot"}, {"a parking lot", kOut}},
      {{"city street", "busy street", "intersection", "downtown", "traffic"},
       {"a city street", kOut}},
      {{"sidewalk", "curb", "crosswalk"}, {"the side of a street", kOut}},
      {{"street", "streets"}, {"a street", kOut}},
      {{"highway", "road", "roadway"}, {"a road", kOut}},
      {{"railroad", "railway", "train tracks", "tracks"}, {"a railway", kOut}},
      {{"field"}, {"an open field", kOut}},
      {{"snow", "snowy"}, {"a snowy place", kOut}},
      {{"desert", "sand"}, {"a sandy place", kOut}},
      {{"yard", "backyard", "lawn", "grass"}, {"a grassy place", kOut}},
      {{"sky", "clouds"}, {"the open sky", kOut}},
      {{"tree", "trees"}, {"a place among trees", kOut}},
      {{"stage"}, {"a stage", Setting::kUnknown}},
      {{"desk"}, {"a desk", kIn}},
      {{"plate", "meal", "dinner", "lunch", "breakfast"},
       {"a place where food is served", Setting::kUnknown}},
      {{"room"}, {"a room", kIn}},
      {{"floor", "carpet", "rug"}, {"a room, seen near its floor", kIn}},
      {{"building", "buildings", "city", "town"}, {"a built-up area", kOut}},
      {{"outside", "outdoors"}, {"an outdoor place", kOut}},
      {{"inside", "indoors"}, {"an indoor place", kIn}},
  };
  return kRows;
}

struct KindRow {
  std::vector<std::string_view> kinds;  // any of them
  ScenePhrase scene;
};

const std::vector<KindRow>& kind_rows() {
  static const std::vector<KindRow> kRows = {
      {{"toilet", "hair drier", "toothbrush"}, {"a bathroom", kIn}},
      {{"oven", "refrigerator", "microwave", "toaster"}, {"a kitchen", kIn}},
      {{"bed"}, {"a bedroom", kIn}},
      {{"couch", "tv"}, {"a living room", kIn}},
      {{"skis", "snowboard"}, {"a snowy slope", kOut}},
      {{"surfboard", "boat"}, {"the water's edge", kOut}},
      {{"airplane"}, {"an airfield or the sky above one", kOut}},
      {{"train"}, {"a railway", kOut}},
      {{"tennis racket"}, {"a tennis court", kOut}},
      {{"baseball bat", "baseball glove"}, {"a ball field", kOut}},
      {{"bus", "traffic light", "stop sign", "parking meter", "fire hydrant", "car", "truck",
        "motorcycle"},
       {"a street", kOut}},
      {{"zebra", "giraffe", "elephant", "sheep", "cow", "horse", "kite", "bear"},
       {"an open outdoor place", kOut}},
      {{"laptop", "keyboard", "mouse"}, {"a workplace", kIn}},
      {{"dining table", "pizza", "sandwich", "cake", "fork", "bowl"},
       {"a place where food is served", Setting::kUnknown}},
  };
  return kRows;
}

struct PhraseRow {
  std::vector<std::string_view> words;
  std::string_view phrase;
};

const std::vector<PhraseRow>& time_rows() {
  static const std::vector<PhraseRow> kRows = {
      {{"night", "nighttime", "midnight"}, "at night"},
      {{"sunset", "dusk", "evening", "twilight"}, "in the evening"},
      {{"sunrise", "dawn", "morning"}, "in the morning"},
      {{"sunny", "sunshine", "sunlight"}, "by day, in sunshine"},
      {{"rain", "rainy", "raining"}, "by day, in the rain"},
      {{"fog", "foggy", "mist", "misty"}, "in fog"},
      {{"cloudy", "overcast"}, "by day, under clouds"},
      {{"day", "daytime", "afternoon", "noon"}, "by day"},
  };
  return kRows;
}

const std::vector<PhraseRow>& style_rows() {
  static const std::vector<PhraseRow> kRows = {
      {{"black and white"}, "a black-and-white picture"},
      {{"fish eye", "fisheye"}, "a wide-angle view that bends straight lines"},
      {{"vintage", "old photo", "antique"}, "a picture with an old-time look"},
      {{"blurry", "blurred"}, "a picture with some blur"},
      {{"close up", "closeup", "close-up"}, "a close-up"},
      {{"colorful", "colourful", "multicolored"}, "a colorful picture"},
      {{"cluttered", "messy"}, "a cluttered view"},
      {{"modern"}, "a picture with a modern look"},
      {{"rustic"}, "a picture with a rustic look"},
  };
  return kRows;
}

// Does `words` hold the words of `phrase` in a row?
bool holds(const std::vector<std::string>& words, std::string_view phrase) {
  const std::vector<std::string> wanted = split(phrase, ' ');
  return std::search(words.begin(), words.end(), wanted.begin(), wanted.end()) != words.end();
}

size_t captions_with(const Captions& captions, const std::vector<std::string_view>& phrases) {
  return static_cast<size_t>(
      std::count_if(captions.begin(), captions.end(), [&](const auto& words) {
        return std::any_of(phrases.begin(), phrases.end(),
                           [&](std::string_view phrase) { return holds(words, phrase); });
      }));
}

std::string_view first_phrase(const std::vector<PhraseRow>& rows, const Captions& captions) {
  for (const PhraseRow& row : rows) {
    if (captions_with(captions, row.words) > 0) return row.phrase;
  }
  return {};
}

const std::map<std::string_view, Sentences>& action_inferences() {
  static const std::map<std::string_view, Sentences> kTable = {
      {"sitting",
       {"The pause looks unhurried and may last a while longer.",
        "It looks like a moment of rest, with no sign of an early departure."}},
      {"standing",
       {"Standing still like this often means waiting for something to begin.",
        "The next step may follow soon, for nobody seems settled here."}},
      {"walking",
       {"The walk probably began outside the frame and will lead out of it again.",
        "Those on foot are likely on their way to somewhere else."}},
      {"riding",
       {"The ride has probably been going on for a while and will go on beyond the frame.",
        "The riding seems to be the purpose itself, and the way ahead looks free."}},
      {"biking", {"The ride will probably go on once the way is clear."}},
      {"driving", {"The drive will probably go on beyond the frame."}},
      {"eating",
       {"The meal has probably just begun and will soon be finished.",
        "Hunger seems to be the reason for all this, and little may be left in a few minutes."}},
      {"drinking", {"A short break seems to be under way; work or a walk may follow."}},
      {"cooking", {"Something will probably be ready to serve before long."}},
      {"preparing", {"What is being prepared will probably be used within minutes."}},
      {"cutting", {"Once the cut is made, the next part of the occasion will probably begin."}},
      {"playing",
       {"The game is probably in full swing and will go on for some time.",
        "The playing seems to be for fun, and the next move may come at any moment."}},
      {"swinging",
       {"The swing will be over in an instant, and its result will decide the next move."}},
      {"hitting", {"The next moments will show where the shot goes."}},
      {"throwing",
       {"The throw will be over in an instant, and somebody is probably ready for it."}},
      {"catching", {"The catch will probably be made or missed within a second."}},
      {"kicking", {"The kick will be over in an instant, and others will probably run after it."}},
      {"jumping", {"The jump will end with a landing in the next instant."}},
      {"skiing", {"The run will probably end at the foot of the slope."}},
      {"snowboarding",
       {"The run will probably end at the foot of the slope, where another may begin."}},
      {"gliding", {"The glide will probably go on downhill for a while."}},
      {"surfing", {"The wave will carry on for some seconds before it breaks."}},
      {"skateboarding", {"The trick or the ride will be over soon and may be tried again."}},
      {"flying",
       {"The flight will probably go on out of the frame.",
        "It probably took off a while ago and is looking for a place to come down."}},
      {"landing", {"In a few moments it will probably be on the ground."}},
      {"swimming", {"The swim will probably end back on dry land."}},
      {"sleeping", {"The sleep looks deep and will probably last a while."}},
      {"resting", {"The rest will probably last until something disturbs it."}},
      {"lying", {"It looks like a quiet rest that nothing is about to end."}},
      {"laying", {"It looks like a quiet rest that nothing is about to end."}},
      {"grazing", {"The grazing will probably go on for as long as there is something to find."}},
      {"looking", {"Something outside the frame or close by has probably caught the attention."}},
      {"staring", {"Something close by has caught the attention, and a reaction may follow."}},
      {"watching", {"Those who watch probably expect something to happen soon."}},
      {"waiting", {"The waiting will probably end as soon as what is expected arrives."}},
      {"talking",
       {"The talk was probably going on before the picture was taken and will go on after it."}},
      {"posing",
       {"The pose was probably taken up for this picture and will be given up right after it."}},
      {"smiling", {"The mood is good, and the picture was probably taken to keep this moment."}},
      {"holding", {"What is held was probably picked up just before and will be put to use next."}},
      {"using", {"The task in hand will probably be finished before long."}},
      {"reading", {"The reading will probably go on for some pages."}},
      {"writing", {"The notes are probably meant for later and will be finished soon."}},
      {"working", {"The work will probably go on until it is done."}},
      {"carrying", {"What is carried will probably be put down once the way is over."}},
      {"pulling", {"The load will probably be left where the way ends."}},
      {"pushing", {"The load will probably be left where the way ends."}},
      {"crossing", {"The other side will probably be reached in a few moments."}},
      {"traveling", {"The journey will probably go on out of the frame."}},
      {"travelling", {"The journey will probably go on out of the frame."}},
      {"running", {"The run will probably go on out of the frame."}},
      {"begging", {"A few of those who pass may stop, while most will probably go on."}},
      {"feeding", {"The food will probably be gone in a moment."}},
      {"performing", {"The performance will probably end with applause."}},
      {"climbing", {"The top will probably be reached before long."}},
  };
  return kTable;
}

const std::map<std::string_view, Sentences>& group_inferences() {
  static const std::map<std::string_view, Sentences> kTable = {
      {"person",
       {"Whoever is seen here was probably in the middle of an ordinary day when the picture was "
        "taken.",
        "What comes next is open, but the moment seems to be part of something longer."}},
      {"animal",
       {"It has probably noticed its surroundings and may move on at any moment.",
        "Nothing seems to trouble the animal, and it may stay where it is for a while."}},
      {"vehicle",
       {"It was probably brought here not long ago and will be used again.",
        "It may set off again soon, or has just come to a stop."}},
      {"food",
       {"The food was probably prepared just before and will be eaten soon.",
        "A meal seems about to begin, for the food still looks fresh."}},
      {"kitchen",
       {"Somebody has probably just set things out, and a meal may follow.",
        "Things stand as if a meal were about to begin or had just ended."}},
      {"furniture",
       {"The place is probably in daily use, and somebody may come back to it soon.",
        "It looks as if somebody had left the place a short while ago."}},
      {"electronic",
       {"Somebody was probably at work here a moment ago and may return.",
        "The devices look ready for use, so work may go on here soon."}},
      {"appliance",
       {"The place is probably used every day, and cooking may begin here again before long.",
        "Everything looks ready for the next time that it is needed."}},
      {"sports",
       {"A game or some practice is probably under way or about to begin.",
        "The gear suggests that sport is the reason for being here."}},
      {"accessory",
       {"The owner is probably near and will take these things along.",
        "The things were probably put down for a short while only."}},
      {"outdoor",
       {"It is there for those who pass, and more of them will probably come by.",
        "The spot is probably passed by many on an ordinary day."}},
      {"indoor",
       {"Somebody has probably put things where they are now, and may need them again.",
        "Things look as if they had been left there a short while ago."}},
      {"",
       {"The place is probably passed by many, and little is about to change in it.",
        "Nothing suggests a sudden change; the scene will probably look the same a moment later."}},
  };
  return kTable;
}

}  // namespace

ScenePhrase scene_of(const Captions& captions, const std::vector<std::string>& kinds) {
  const SceneRow* best = nullptr;
  size_t most = 0;
  for (const SceneRow& row : scene_rows()) {
    const size_t count = std::min<size_t>(2, captions_with(captions, row.words));
    if (count > most) best = &row;
    most = std::max(most, count);
  }
  if (best != nullptr) return best->scene;
  for (const KindRow& row : kind_rows()) {
    const bool found = std::any_of(kinds.begin(), kinds.end(), [&](const std::string& kind) {
      return std::find(row.kinds.begin(), row.kinds.end(), kind) != row.kinds.end();
    });
    if (found) return row.scene;
  }
  return {};
}

std::string_view time_of(const Captions& captions) {
  return first_phrase(time_rows(), captions);
}

std::string_view style_of(const Captions& captions) {
  return first_phrase(style_rows(), captions);
}

std::span<const std::string_view> inferences_of_action(std::string_view action) {
  const auto found = action_inferences().find(action);
  return found != action_inferences().end() ? std::span(found->second)
                                            : std::span<const std::string_view>();
}

std::span<const std::string_view> inferences_of_group(std::string_view group) {
  const auto found = group_inferences().find(group);
  return found != group_inferences().end() ? found->second : group_inferences().at("");
}

}  // namespace fastvlm
