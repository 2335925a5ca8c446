// SPDX-License-Identifier: Apache-2.0
#include "evaluate/word_matcher.h"

#include <libstemmer.h>

#include <algorithm>
#include <span>

namespace fastvlm {
namespace {

bool share_one(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() && right != b.end()) {
    if (*left == *right) return true;
    *left < *right ? ++left : ++right;
  }
  return false;
}

}  // namespace

std::vector<std::string_view> MeteorModules::names() const {
  std::vector<std::string_view> names = {"exact"};
  if (stem) names.emplace_back("stem");
  if (wordnet) names.emplace_back("synonym");
  if (paraphrases) names.emplace_back("paraphrase");
  return names;
}

void MatchGrid::add(const WordMatch& match) {
  at[match.start].push_back(match);
  for (size_t i = 0; i < match.length; ++i) ++reference_coverage[match.start + i];
  for (size_t i = 0; i < match.candidate_length; ++i) {
    ++candidate_coverage[match.candidate_start + i];
  }
}

WordMatcher::WordMatcher(MeteorModules modules)
    : modules_(std::move(modules)), stemmer_(sb_stemmer_new("english", "UTF_8")) {}

WordMatcher::~WordMatcher() {
  sb_stemmer_delete(stemmer_);
}

std::string WordMatcher::stem(const std::string& word) const {
  const sb_symbol* stem = sb_stemmer_stem(stemmer_, reinterpret_cast<const sb_symbol*>(word.data()),
                                          static_cast<int>(word.size()));
  return {reinterpret_cast<const char*>(stem), static_cast<size_t>(sb_stemmer_length(stemmer_))};
}

const WordMatcher::Word& WordMatcher::known(const std::string& text) {
  std::unique_ptr<const Word>& word = known_[text];
  if (!word) {
    word = std::make_unique<const Word>(
        Word{text, modules_.stem ? stem(text) : std::string(),
             modules_.wordnet ? modules_.wordnet->synonym_sets(text) : std::vector<int32_t>()});
  }
  return *word;
}

// Adds each phrase of `phrases` whose paraphrase stands in `sentence`.
void WordMatcher::add_paraphrases(const std::vector<std::string>& phrases,
                                  const std::vector<std::string>& sentence,
                                  bool phrases_are_reference, MatchGrid& grid) const {
  const Paraphrases& table = *modules_.paraphrases;
  for (size_t i = 0; i < phrases.size(); ++i) {
    const size_t most = std::min(table.longest_phrase(), phrases.size() - i);
    for (size_t length = 1; length <= most; ++length) {
      for (const Phrase& said : table.of(std::span(phrases).subspan(i, length))) {
        for (size_t j = 0; j + said.size() <= sentence.size(); ++j) {
          if (!std::equal(said.begin(), said.end(), sentence.begin() + static_cast<long>(j))) {
            continue;
          }
          grid.add(phrases_are_reference
                       ? WordMatch{MeteorModule::kParaphrase, i, length, j, said.size()}
                       : WordMatch{MeteorModule::kParaphrase, j, said.size(), i, length});
        }
      }
    }
  }
}

MatchGrid WordMatcher::find(const std::vector<std::string>& candidate,
                            const std::vector<std::string>& reference) {
  MatchGrid grid(candidate.size(), reference.size());
  std::vector<const Word*> ours;
  std::vector<const Word*> theirs;
  for (const std::string& word : candidate) ours.push_back(&known(word));
  for (const std::string& word : reference) theirs.push_back(&known(word));
  const auto add_where = [&](MeteorModule module, const auto& matches) {
    for (size_t j = 0; j < theirs.size(); ++j) {
      for (size_t i = 0; i < ours.size(); ++i) {
        if (matches(*ours[i], *theirs[j])) grid.add({module, j, 1, i, 1});
      }
    }
  };
  add_where(MeteorModule::kExact, [](const Word& a, const Word& b) { return &a == &b; });
  if (candidate == reference) return grid;  // other modules could only lead the search astray
  if (modules_.stem) {
    add_where(MeteorModule::kStem,
              [](const Word& a, const Word& b) { return &a != &b && a.stem == b.stem; });
  }
  if (modules_.wordnet) {
    add_where(MeteorModule::kSynonym, [](const Word& a, const Word& b) {
      return &a != &b && share_one(a.synonym_sets, b.synonym_sets);
    });
  }
  if (modules_.paraphrases) {
    add_paraphrases(reference, candidate, true, grid);
    add_paraphrases(candidate, reference, false, grid);
  }
  return grid;
}

}  // namespace fastvlm
