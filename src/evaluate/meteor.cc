// SPDX-License-Identifier: Apache-2.0
#include "evaluate/meteor.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "evaluate/meteor_aligner.h"
#include "evaluate/meteor_normalizer.h"

namespace fastvlm {
namespace {

constexpr double kAlpha = 0.85;
constexpr double kBeta = 0.20;
constexpr double kGamma = 0.60;
constexpr double kDelta = 0.75;
constexpr std::array<double, kMeteorModules> kWeights = {1.0, 0.6, 0.8, 0.6};

// METEOR 1.5's English function words: the words that make up a thousandth or more of a large
// monolingual corpus each (Denkowski and Lavie, 2014, section 3).
bool is_function_word(const std::string& word) {
  static const std::unordered_set<std::string> kWords = {
      "the",  ",",     ".",     "to",   "of",    "and",   "a",    "in",     "that",  "for",
      "\"",   "is",    "on",    "'s",   "it",    "with",  "was",  "as",     "said",  "at",
      "he",   "by",    "be",    "from", "have",  "has",   "are",  "his",    "but",   "an",
      "this", "not",   "i",     "will", "’",     "they",  ")",    "-rrb-",  "(",     "-lrb-",
      "who",  "their", "had",   "we",   "which", "were",  "been", "more",   "or",    "s",
      "its",  "would", "about", "new",  "one",   "after", "you",  ":",      "also",  "up",
      "when", "there", "than",  "$",    "all",   "out",   "her",  "people", "she",   "year",
      "two",  "-",     "can",   "if",   "last",  "first", "“",    "over",   "other", "”",
      "into", "some",  "what",  "so",   "--",    "no",    "time", "years",  "could", "?",
      "'t",   "—",     "'"};
  return kWords.contains(word);
}

double function_words(const std::vector<std::string>& words) {
  return static_cast<double>(std::count_if(words.begin(), words.end(), is_function_word));
}

double function_words(const std::vector<std::string>& words, size_t start, size_t length) {
  const auto from = words.begin() + static_cast<long>(start);
  return static_cast<double>(
      std::count_if(from, from + static_cast<long>(length), is_function_word));
}

MeteorStatistics statistics_of(const std::vector<std::string>& candidate,
                               const std::vector<std::string>& reference, WordMatcher& matcher) {
  MeteorStatistics statistics;
  statistics.candidate_length = static_cast<double>(candidate.size());
  statistics.reference_length = static_cast<double>(reference.size());
  statistics.candidate_function = function_words(candidate);
  statistics.reference_function = function_words(reference);
  const Alignment alignment = align(matcher.find(candidate, reference));
  statistics.chunks = alignment.chunks;
  for (const WordMatch& match : alignment.matches) {
    MeteorStatistics::Matched& matched = statistics.matched[static_cast<size_t>(match.module)];
    const double ours = function_words(candidate, match.candidate_start, match.candidate_length);
    const double theirs = function_words(reference, match.start, match.length);
    matched.candidate_function += ours;
    matched.candidate_content += static_cast<double>(match.candidate_length) - ours;
    matched.reference_function += theirs;
    matched.reference_content += static_cast<double>(match.length) - theirs;
  }
  return statistics;
}

// Content words weigh delta, function words the rest.
double weighed(double content, double function) {
  return kDelta * content + (1 - kDelta) * function;
}

}  // namespace

double MeteorStatistics::candidate_matched() const {
  double sum = 0;
  for (const Matched& one : matched) sum += one.candidate_content + one.candidate_function;
  return sum;
}

double MeteorStatistics::reference_matched() const {
  double sum = 0;
  for (const Matched& one : matched) sum += one.reference_content + one.reference_function;
  return sum;
}

bool MeteorStatistics::is_perfect() const {
  return chunks == 1 && candidate_matched() == candidate_length &&
         reference_matched() == reference_length;
}

void MeteorStatistics::add(const MeteorStatistics& other) {
  candidate_length += other.candidate_length;
  reference_length += other.reference_length;
  candidate_function += other.candidate_function;
  reference_function += other.reference_function;
  for (size_t i = 0; i < kMeteorModules; ++i) {
    matched[i].candidate_content += other.matched[i].candidate_content;
    matched[i].reference_content += other.matched[i].reference_content;
    matched[i].candidate_function += other.matched[i].candidate_function;
    matched[i].reference_function += other.matched[i].reference_function;
  }
  if (!other.is_perfect()) chunks += other.chunks;
}

double meteor_score(const MeteorStatistics& s) {
  double candidate = 0;
  double reference = 0;
  for (size_t i = 0; i < kMeteorModules; ++i) {
    candidate +=
        kWeights[i] * weighed(s.matched[i].candidate_content, s.matched[i].candidate_function);
    reference +=
        kWeights[i] * weighed(s.matched[i].reference_content, s.matched[i].reference_function);
  }
  if (candidate == 0 || reference == 0) return 0;
  const double precision =
      candidate / weighed(s.candidate_length - s.candidate_function, s.candidate_function);
  const double recall =
      reference / weighed(s.reference_length - s.reference_function, s.reference_function);
  const double mean = precision * recall / (kAlpha * precision + (1 - kAlpha) * recall);
  const double matched = (s.candidate_matched() + s.reference_matched()) / 2;
  const double fragmentation = s.is_perfect() ? 0 : s.chunks / matched;
  return mean * (1 - kGamma * std::pow(fragmentation, kBeta));
}

MeteorScores meteor(std::span<const TokenizedImage> images, const MeteorModules& modules) {
  WordMatcher matcher(modules);
  MeteorScores scores;
  for (const TokenizedImage& image : images) {
    const std::vector<std::string> candidate = meteor_words(image.candidate);
    double best_score = -1;
    MeteorStatistics best;
    for (const std::string& reference : image.references) {
      const MeteorStatistics found = statistics_of(candidate, meteor_words(reference), matcher);
      const double score = meteor_score(found);
      if (score > best_score) {
        best_score = score;
        best = found;
      }
    }
    scores.images.push_back(best_score);
    scores.statistics.push_back(best);
  }
  return scores;
}

}  // namespace fastvlm
