// SPDX-License-Identifier: Apache-2.0
#include "dataset/phrases.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>

#include "base/strings.h"

namespace fastvlm {
namespace {

using Words = std::set<std::string, std::less<>>;

constexpr std::array<std::string_view, 11> kNumbers = {
    "no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"};

// Names that are pairs or a mass: counted by another word.
const std::map<std::string, std::string, std::less<>> kMeasures = {
    {"scissors", "pair"}, {"skis", "pair"}, {"broccoli", "piece"}};

const std::map<std::string, std::string, std::less<>> kPlurals = {
    {"person", "people"},      {"man", "men"},     {"woman", "women"},
    {"child", "children"},     {"sheep", "sheep"}, {"mouse", "mice"},
    {"knife", "knives"},       {"goose", "geese"}, {"foot", "feet"},
    {"policeman", "policemen"}};

// Verbs of captions: the form with -ing, that of one, that of many.
struct Verb {
  std::string_view ing, one, many;
};
constexpr Verb kVerbs[] = {{"sitting", "sits", "sit"},
                           {"standing", "stands", "stand"},
                           {"walking", "walks", "walk"},
                           {"riding", "rides", "ride"},
                           {"holding", "holds", "hold"},
                           {"playing", "plays", "play"},
                           {"eating", "eats", "eat"},
                           {"looking", "looks", "look"},
                           {"wearing", "wears", "wear"},
                           {"flying", "flies", "fly"},
                           {"lying", "lies", "lie"},
                           {"laying", "lays", "lay"},
                           {"driving", "drives", "drive"},
                           {"parked", "parks", "park"},
                           {"parking", "parks", "park"},
                           {"skiing", "skis", "ski"},
                           {"surfing", "surfs", "surf"},
                           {"skateboarding", "skateboards", "skateboard"},
                           {"snowboarding", "snowboards", "snowboard"},
                           {"jumping", "jumps", "jump"},
                           {"running", "runs", "run"},
                           {"swinging", "swings", "swing"},
                           {"hitting", "hits", "hit"},
                           {"throwing", "throws", "throw"},
                           {"catching", "catches", "catch"},
                           {"kicking", "kicks", "kick"},
                           {"waiting", "waits", "wait"},
                           {"talking", "talks", "talk"},
                           {"using", "uses", "use"},
                           {"cutting", "cuts", "cut"},
                           {"cooking", "cooks", "cook"},
                           {"preparing", "prepares", "prepare"},
                           {"drinking", "drinks", "drink"},
                           {"reading", "reads", "read"},
                           {"writing", "writes", "write"},
                           {"watching", "watches", "watch"},
                           {"posing", "poses", "pose"},
                           {"smiling", "smiles", "smile"},
                           {"sleeping", "sleeps", "sleep"},
                           {"resting", "rests", "rest"},
                           {"grazing", "grazes", "graze"},
                           {"traveling", "travels", "travel"},
                           {"travelling", "travels", "travel"},
                           {"hanging", "hangs", "hang"},
                           {"carrying", "carries", "carry"},
                           {"pulling", "pulls", "pull"},
                           {"pushing", "pushes", "push"},
                           {"crossing", "crosses", "cross"},
                           {"swimming", "swims", "swim"},
                           {"working", "works", "work"},
                           {"going", "goes", "go"},
                           {"moving", "moves", "move"},
                           {"taking", "takes", "take"},
                           {"getting", "gets", "get"},
                           {"making", "makes", "make"},
                           {"feeding", "feeds", "feed"},
                           {"brushing", "brushes", "brush"},
                           {"washing", "washes", "wash"},
                           {"leaning", "leans", "lean"},
                           {"climbing", "climbs", "climb"},
                           {"biking", "bikes", "bike"},
                           {"gliding", "glides", "glide"},
                           {"guiding", "guides", "guide"},
                           {"following", "follows", "follow"},
                           {"begging", "begs", "beg"},
                           {"passing", "passes", "pass"},
                           {"serving", "serves", "serve"},
                           {"boarding", "boards", "board"},
                           {"landing", "lands", "land"},
                           {"gathering", "gathers", "gather"},
                           {"gathered", "gathers", "gather"},
                           {"showing", "shows", "show"},
                           {"covered", "covers", "cover"},
                           {"displaying", "displays", "display"},
                           {"having", "has", "have"},
                           {"facing", "faces", "face"},
                           {"laughing", "laughs", "laugh"},
                           {"dancing", "dances", "dance"},
                           {"petting", "pets", "pet"},
                           {"bathing", "bathes", "bathe"},
                           {"chasing", "chases", "chase"},
                           {"staring", "stares", "stare"},
                           {"filling", "fills", "fill"},
                           {"reaching", "reaches", "reach"},
                           {"performing", "performs", "perform"},
                           {"floating", "floats", "float"},
                           {"sailing", "sails", "sail"},
                           {"coming", "comes", "come"},
                           {"doing", "does", "do"},
                           {"giving", "gives", "give"},
                           {"attempting", "attempts", "attempt"},
                           {"trying", "tries", "try"},
                           {"enjoying", "enjoys", "enjoy"},
                           {"typing", "types", "type"},
                           {"shining", "shines", "shine"},
                           {"pointing", "points", "point"}};

// States and qualities rather than actions: they make a sentence but are no activity.
const Words kNoActions = {"wearing", "parked", "covered",  "showing", "displaying",
                          "having",  "facing", "gathered", "filling", "shining"};

bool ends_a_noun_phrase(const std::string& word) {
  static const Words kNot = {"of",    "for", "by",   "while", "and",  "with", "from",
                             "in",    "on",  "at",   "to",    "the",  "a",    "an",
                             "is",    "are", "was",  "were",  "or",   "that", "who",
                             "which", "be",  "been", "not",   "near", "his",  "her",
                             "their", "its", "as",   "are,",  "seen", "just", "people,"};
  return !kNot.contains(word) && !word.ends_with(',');
}

const Verb* verb_with_ing(const std::string& word) {
  const auto found = std::find_if(std::begin(kVerbs), std::end(kVerbs),
                                  [&](const Verb& verb) { return verb.ing == word; });
  return found != std::end(kVerbs) ? found : nullptr;
}

// The form with -ing of a verb in its form for one or many; empty: no such verb.
std::string_view action_of(const std::string& word, bool many) {
  for (const Verb& verb : kVerbs) {
    if (word == (many ? verb.many : verb.one)) return verb.ing;
  }
  return {};
}

std::vector<std::string> plain_words(std::string_view text) {
  std::vector<std::string> words;
  for (const std::string& word : split(text, ' ')) {
    std::string small = lower_case(word);
    while (small.ends_with('.') || small.ends_with('!')) small.pop_back();
    if (!small.empty()) words.push_back(std::move(small));
  }
  return words;
}

bool begins_with_one(const std::string& word) {
  return word == "a" || word == "an" || word == "one" || word == "the" || word == "this";
}

bool begins_with_many(const std::string& word) {
  static const Words kMany = {"two",  "three",  "four", "five",  "six",      "several",  "some",
                              "many", "people", "men",  "women", "children", "multiple", "various"};
  return kMany.contains(word);
}

// "a man and a woman", but not "a black and white dog" nor "a man in a coat and a hat".
bool joins_two_things(const std::vector<std::string>& words, size_t end) {
  static const Words kDescribes = {"in", "with", "wearing", "on"};
  for (size_t i = 0; i + 1 < end; ++i) {
    if (kDescribes.contains(words[i])) return false;
    if (words[i] != "and") continue;
    const std::string& next = words[i + 1];
    return next == "a" || next == "an" || next == "the" || next == "another" || next == "his" ||
           next == "her" || begins_with_many(next);
  }
  return false;
}

// Is what the words up to `end` name more than one thing?
bool names_many(const std::vector<std::string>& words, size_t end) {
  static const Words kGroups = {"group", "couple", "number", "bunch", "crowd",
                                "pair",  "herd",   "flock",  "team",  "lot"};
  const auto last = words.begin() + static_cast<std::ptrdiff_t>(end);
  if (joins_two_things(words, end)) return true;
  if (begins_with_many(words[0])) return true;
  if (words[0] == "a" || words[0] == "an" || words[0] == "one" || words[0] == "this") {
    return std::any_of(words.begin(), last,
                       [](const auto& word) { return kGroups.contains(word); });
  }
  const std::string& head = words[end - 1];
  static const Words kIrregular = {"people", "men", "women", "children", "geese"};
  return kIrregular.contains(head) || (head.ends_with('s') && !head.ends_with("ss"));
}

// Words before a verb in -ing that may be about another noun than the first: "a room with a man
// cooking", "a picture of a man riding".
bool may_be_of_another_noun(const std::vector<std::string>& words, size_t end) {
  static const Words kTurns = {"with",       "where",    "that",     "who",  "while",  "as",
                               "picture",    "photo",    "view",     "shot", "image",  "close",
                               "photograph", "close-up", "painting", "sign", "filled", "full"};
  return std::any_of(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(end),
                     [](const auto& word) { return kTurns.contains(word); });
}

// Could an unknown verb stand in the caption ("A pole sports signs")? A word with -s that no word
// for many and no preposition precedes.
bool may_have_unknown_verb(const std::vector<std::string>& words) {
  static const Words kBefore = {"of",   "two",     "three", "four",  "some",   "many",  "several",
                                "with", "and",     "the",   "on",    "in",     "by",    "other",
                                "its",  "various", "for",   "their", "at",     "her",   "his",
                                "or",   "no",      "near",  "many",  "little", "small", "large"};
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    const bool could =
        word.size() > 3 && word.ends_with('s') && !word.ends_with("ss") && !word.ends_with("us");
    if (could && !kBefore.contains(words[i - 1]) && !words[i - 1].ends_with(',')) return true;
  }
  return false;
}

std::string measured(const std::string& name, const std::string& measure, size_t count) {
  return cat(count == 1 ? measure : measure + "s", " of ", name);
}

}  // namespace

std::string plural_of(const std::string& name) {
  if (const auto measure = kMeasures.find(name); measure != kMeasures.end()) {
    return measured(name, measure->second, 2);
  }
  const size_t last = name.rfind(' ') + 1;  // "wine glass" -> "glass"
  const std::string before = name.substr(0, last);
  const std::string word = name.substr(last);
  if (const auto known = kPlurals.find(word); known != kPlurals.end())
    return before + known->second;
  const std::string_view end =
      std::string_view(word).substr(word.size() - std::min<size_t>(2, word.size()));
  if (end.ends_with('s') || end.ends_with('x') || end == "ch" || end == "sh") return name + "es";
  const bool vowel_before_y =
      end.size() == 2 && std::string_view("aeiou").find(end[0]) != std::string_view::npos;
  if (end.ends_with('y') && !vowel_before_y) return name.substr(0, name.size() - 1) + "ies";
  return name + "s";
}

std::string with_article(const std::string& name) {
  if (const auto measure = kMeasures.find(name); measure != kMeasures.end()) {
    return "a " + measured(name, measure->second, 1);
  }
  const char first = name.empty() ? ' ' : static_cast<char>(std::tolower(name[0]));
  const bool vowel = std::string_view("aeio").find(first) != std::string_view::npos ||
                     (first == 'u' && !name.starts_with("un") && !name.starts_with("us"));
  return cat(vowel || name.starts_with("um") ? "an " : "a ", name);
}

std::string counted(const std::string& name, size_t count) {
  if (count == 1) return with_article(name);
  const std::string many = plural_of(name);
  return count < kNumbers.size() ? cat(kNumbers[count], " ", many) : cat("more than ten ", many);
}

std::string enumerated(const std::vector<std::string>& items) {
  std::string text;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += i + 1 == items.size() ? " and " : ", ";
    text += items[i];
  }
  return text;
}

std::string capitalised(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

std::string with_small_start(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::string as_sentence(std::string_view caption) {
  std::string text;
  for (const char c : caption) {
    const bool blank = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (blank && (text.empty() || text.back() == ' ')) continue;
    if ((c == ',' || c == '.') && text.ends_with(' ')) text.pop_back();
    text += blank ? ' ' : c;
  }
  while (!text.empty() && std::string_view(" .,;:!").find(text.back()) != std::string_view::npos) {
    text.pop_back();
  }
  const bool has_small =
      std::any_of(text.begin(), text.end(), [](unsigned char c) { return std::islower(c) != 0; });
  if (!has_small) text = lower_case(text);
  if (text.empty()) return text;
  if (!text.ends_with('?')) text += '.';
  return capitalised(text);
}

CaptionVerbs verbs_of(std::string_view sentence) {
  const std::vector<std::string> words = plain_words(sentence);
  CaptionVerbs verbs;
  if (words.empty()) return verbs;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::string& before = words[i - 1];
    const bool relative = before == "that" || before == "who" || before == "which";
    if ((word == "is" || word == "are") && !relative) verbs.finite = true;
    const bool quality = before == "a" || before == "an" || before == "the";  // "a standing lamp"
    const Verb* verb = quality ? nullptr : verb_with_ing(word);
    if (verb != nullptr && !kNoActions.contains(word)) verbs.actions.emplace_back(verb->ing);
    if (verb != nullptr && verbs.gap == 0 && !verbs.finite && i <= 8 &&
        ends_a_noun_phrase(before) && !may_be_of_another_noun(words, i)) {
      verbs.gap = i;
    }
    if (verb != nullptr || quality || i > 6 || !ends_a_noun_phrase(before)) continue;
    const std::string_view action = action_of(word, names_many(words, i));
    if (action.empty()) continue;
    verbs.finite = true;
    if (!kNoActions.contains(action)) verbs.actions.emplace_back(action);
  }
  if (verbs.finite || !(begins_with_one(words[0]) || begins_with_many(words[0]))) verbs.gap = 0;
  return verbs;
}

std::string completed(const std::string& sentence, const std::string& opening) {
  const CaptionVerbs verbs = verbs_of(sentence);
  const std::vector<std::string> words = plain_words(sentence);
  if (verbs.finite || words.empty()) return sentence;
  if (verbs.gap > 0) {
    std::vector<std::string> parts = split(sentence, ' ');
    parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(verbs.gap),
                 names_many(words, verbs.gap) ? "are" : "is");
    std::string text;
    for (const std::string& part : parts) text += (text.empty() ? "" : " ") + part;
    return text;
  }
  const bool fragment = (words[0] == "a" || words[0] == "an") && !may_have_unknown_verb(words);
  return fragment ? cat(opening, " ", with_small_start(sentence)) : sentence;
}

}  // namespace fastvlm
