// SPDX-License-Identifier: Apache-2.0
// Which words of a candidate may stand for which words of a reference: METEOR's four modules
// (Denkowski and Lavie, 2014).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "evaluate/paraphrases.h"
#include "evaluate/wordnet.h"

struct sb_stemmer;  // libstemmer's

namespace fastvlm {

enum class MeteorModule { kExact, kStem, kSynonym, kParaphrase };
inline constexpr size_t kMeteorModules = 4;

// The modules that run, with their data.
struct MeteorModules {
  bool stem = true;
  std::shared_ptr<const Wordnet> wordnet = {};          // null: no synonyms
  std::shared_ptr<const Paraphrases> paraphrases = {};  // null: no paraphrases

  std::vector<std::string_view> names() const;  // "exact", "stem", "synonym", "paraphrase"
};

// `length` words of the reference from `start` on, said with `candidate_length` words of the
// candidate from `candidate_start` on.
struct WordMatch {
  MeteorModule module;
  size_t start;
  size_t length;
  size_t candidate_start;
  size_t candidate_length;
};

// All matches between two captions. One that two modules find, or the paraphrase table both ways,
// is there twice: METEOR counts it twice, and then does not take it for certain.
struct MatchGrid {
  MatchGrid(size_t candidate_words, size_t reference_words)
      : at(reference_words),
        candidate_coverage(candidate_words),
        reference_coverage(reference_words) {}
  void add(const WordMatch& match);

  std::vector<std::vector<WordMatch>> at;  // by the first word of the reference
  std::vector<int> candidate_coverage;     // matches over each word
  std::vector<int> reference_coverage;
};

class WordMatcher {
 public:
  explicit WordMatcher(MeteorModules modules);
  ~WordMatcher();
  WordMatcher(const WordMatcher&) = delete;
  WordMatcher& operator=(const WordMatcher&) = delete;

  // Words as meteor_words gives them. Remembers the words it meets; not for several threads at
  // once.
  MatchGrid find(const std::vector<std::string>& candidate,
                 const std::vector<std::string>& reference);
  const MeteorModules& modules() const { return modules_; }
  std::string stem(const std::string& word) const;  // Snowball's English stemmer, Porter 2

 private:
  struct Word {
    std::string text;
    std::string stem;
    std::vector<int32_t> synonym_sets;
  };
  const Word& known(const std::string& text);
  void add_paraphrases(const std::vector<std::string>& phrases,
                       const std::vector<std::string>& sentence, bool phrases_are_reference,
                       MatchGrid& grid) const;

  MeteorModules modules_;
  ::sb_stemmer* stemmer_;
  std::unordered_map<std::string, std::unique_ptr<const Word>> known_;
};

}  // namespace fastvlm
