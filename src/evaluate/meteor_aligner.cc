// SPDX-License-Identifier: Apache-2.0
#include "evaluate/meteor_aligner.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <tuple>

namespace fastvlm {
namespace {

constexpr size_t kBeam = 40;
constexpr size_t kNowhere = std::numeric_limits<size_t>::max();

// An alignment of the reference's first words.
struct Path {
  std::vector<uint8_t> candidate_used;
  std::vector<uint8_t> reference_used;
  std::vector<const WordMatch*> chosen;  // by the first word of the reference
  int matched = 0;                       // words of both captions, by weight
  int chunks = 0;
  int distance = 0;
  size_t last_end = kNowhere;  // in the candidate, of the match that ends here
  size_t next = 0;             // words of the reference before it are dealt with

  bool is_free(const WordMatch& match) const {
    for (size_t i = 0; i < match.length; ++i) {
      if (reference_used[match.start + i] != 0) return false;
    }
    for (size_t i = 0; i < match.candidate_length; ++i) {
      if (candidate_used[match.candidate_start + i] != 0) return false;
    }
    return true;
  }

  void occupy(const WordMatch& match) {
    chosen[match.start] = &match;
    std::fill_n(reference_used.begin() + static_cast<long>(match.start), match.length, 1);
    std::fill_n(candidate_used.begin() + static_cast<long>(match.candidate_start),
                match.candidate_length, 1);
  }

  // Takes an occupied match into the counts. Only exact matches weigh whole words; others weigh
  // half, and METEOR drops the fraction, so that a single inexact word weighs nothing.
  void walk(const WordMatch& match) {
    const bool exact = match.module == MeteorModule::kExact;
    matched += static_cast<int>(exact ? match.length : match.length / 2);
    matched += static_cast<int>(exact ? match.candidate_length : match.candidate_length / 2);
    if (last_end != kNowhere && match.candidate_start != last_end) ++chunks;
    next = match.start + match.length;
    last_end = match.candidate_start + match.candidate_length;
  }

  void skip_word() {
    if (last_end != kNowhere) ++chunks;
    last_end = kNowhere;
    ++next;
  }
};

int distance_of(const WordMatch& match) {
  const auto there = static_cast<int>(match.start);
  const auto here = static_cast<int>(match.candidate_start);
  return there > here ? there - here : here - there;
}

bool ranks_before(const Path& a, const Path& b) {
  return std::tuple(-a.matched, a.chunks, a.distance) <
         std::tuple(-b.matched, b.chunks, b.distance);
}

// Whether no other match touches the words of this one.
bool is_certain(const MatchGrid& grid, const WordMatch& match) {
  for (size_t i = 0; i < match.length; ++i) {
    if (grid.reference_coverage[match.start + i] != 1) return false;
  }
  for (size_t i = 0; i < match.candidate_length; ++i) {
    if (grid.candidate_coverage[match.candidate_start + i] != 1) return false;
  }
  return true;
}

Path with_certain_matches(const MatchGrid& grid) {
  Path path;
  path.candidate_used.resize(grid.candidate_coverage.size());
  path.reference_used.resize(grid.at.size());
  path.chosen.resize(grid.at.size());
  for (const std::vector<WordMatch>& matches : grid.at) {
    if (matches.size() == 1 && is_certain(grid, matches[0])) path.occupy(matches[0]);
  }
  return path;
}

// Appends to `onward` what `path` may become at word `at` of the reference.
void advance(Path path, size_t at, const std::vector<WordMatch>& matches,
             std::vector<Path>& onward) {
  if (at < path.next) {  // inside a match of several words
    onward.push_back(std::move(path));
    return;
  }
  if (path.reference_used[at] != 0) {
    const WordMatch& match = *path.chosen[at];
    path.walk(match);
    path.distance += distance_of(match);
    onward.push_back(std::move(path));
    return;
  }
  for (const WordMatch& match : matches) {
    if (!path.is_free(match)) continue;
    Path taken = path;
    taken.occupy(match);
    taken.walk(match);
    // METEOR adds the distance to the path that it came from, which ranks what follows from it.
    path.distance += distance_of(match);
    onward.push_back(std::move(taken));
  }
  path.skip_word();
  onward.push_back(std::move(path));
}

}  // namespace

Alignment align(const MatchGrid& grid) {
  std::vector<Path> paths;
  paths.push_back(with_certain_matches(grid));
  for (size_t at = 0; at < grid.at.size(); ++at) {
    std::stable_sort(paths.begin(), paths.end(), ranks_before);
    std::vector<Path> onward;
    const size_t count = std::min(paths.size(), kBeam);
    for (size_t i = 0; i < count; ++i) advance(std::move(paths[i]), at, grid.at[at], onward);
    paths = std::move(onward);
  }
  std::stable_sort(paths.begin(), paths.end(), ranks_before);
  if (paths.size() > kBeam) paths.resize(kBeam);
  for (Path& path : paths) {
    if (path.last_end != kNowhere) ++path.chunks;  // the chunk that reaches the end
  }
  const Path& best = *std::min_element(paths.begin(), paths.end(), ranks_before);
  Alignment alignment;
  alignment.chunks = best.chunks;
  for (const WordMatch* match : best.chosen) {
    if (match != nullptr) alignment.matches.push_back(*match);
  }
  return alignment;
}

}  // namespace fastvlm
