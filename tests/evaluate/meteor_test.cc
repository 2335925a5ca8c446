// SPDX-License-Identifier: Apache-2.0
// METEOR's parts: normaliser, stems, WordNet, paraphrase table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/strings.h"
#include "evaluate/meteor_normalizer.h"
#include "evaluate/metric_goldens.h"
#include "evaluate/word_matcher.h"
#include "support/files.h"

namespace fastvlm {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

TEST(MeteorNormalizer, Goldens) {
  const auto pairs = test::meteor_normalize_pairs();
  ASSERT_EQ(pairs.size(), 932U);
  for (const auto& [text, normalized] : pairs) {
    EXPECT_EQ(joined(meteor_words(text)), normalized) << text;
  }
}

TEST(WordMatcher, Stems) {
  const WordMatcher matcher({});
  const auto stems = test::porter2_stems();
  ASSERT_GT(stems.size(), 1000U);
  for (const auto& [word, stem] : stems) EXPECT_EQ(matcher.stem(word), stem) << word;
}

TEST(Wordnet, HoldsTheSetsOfMeteor) {
  const Result<Wordnet> wordnet = Wordnet::load(kWordnetFolder);
  if (!wordnet.ok()) GTEST_SKIP() << wordnet.status().message;
  EXPECT_EQ(wordnet->words(), 147306U);
  EXPECT_EQ(wordnet->senses(), 206941U);
  const std::filesystem::path path = test::shared("goldens/metrics/meteor-data/english.synsets");
  std::ifstream file(path);
  if (!file) GTEST_SKIP() << path << " is not here";
  size_t compared = 0;
  for (std::string word, numbers; std::getline(file, word) && std::getline(file, numbers);) {
    std::vector<int32_t> expected;
    for (const std::string& number : split(numbers, ' ')) expected.push_back(std::stoi(number));
    // The word's own sets are among those of it and its base forms.
    EXPECT_THAT(wordnet->synonym_sets(word), testing::IsSupersetOf(expected)) << word;
    ++compared;
  }
  EXPECT_EQ(compared, wordnet->words());
}

TEST(Wordnet, SaysWhatIsMissingOrDamaged) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(Wordnet::load(folder.path()).status().code, Code::kNotFound);
  std::ofstream(folder / "index.noun") << "  licence\ndog n 2 0 1 0 02084071\n";
  const Status status = Wordnet::load(folder.path()).status();
  EXPECT_EQ(status.code, Code::kInvalid);
  EXPECT_THAT(status.message, testing::HasSubstr("index.noun: line 2"));
}

TEST(Paraphrases, SaysWhatIsMissingOrDamaged) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(Paraphrases::load(folder / "none").status().code, Code::kNotFound);
  std::ofstream(folder / "table") << "0.5\na dog\n";
  EXPECT_EQ(Paraphrases::load(folder / "table").status().code, Code::kInvalid);
  std::ofstream(folder / "table") << "0.5\na dog\nthe dog\n";
  const Result<Paraphrases> table = Paraphrases::load(folder / "table");
  ASSERT_TRUE(table.ok()) << table.status().message;
  const Phrase phrase = {"a", "dog"};
  EXPECT_THAT(table->of(phrase), testing::ElementsAre(Phrase{"the", "dog"}));
}

}  // namespace
}  // namespace fastvlm
