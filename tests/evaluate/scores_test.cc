// SPDX-License-Identifier: Apache-2.0
// BLEU, ROUGE-L, CIDEr and METEOR against the reference evaluator, per image and per corpus.
#include <gtest/gtest.h>

#include <sstream>

#include "evaluate/corpus_scores.h"
#include "evaluate/metric_goldens.h"

namespace fastvlm {
namespace {

using test::GoldenImage;
using test::MetricGolden;

constexpr double kTolerance = 1e-12;
constexpr double kMeteorTolerance = 1e-9;

std::vector<TokenizedImage> tokens_of(const MetricGolden& golden) {
  std::vector<TokenizedImage> images;
  for (const GoldenImage& image : golden.images) {
    images.push_back({image.reference_tokens, image.candidate_tokens});
  }
  return images;
}

class GoldenScores : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    golden_ = test::metric_golden(GetParam());
    if (!golden_) GTEST_SKIP() << GetParam() << ".json is not here";
    images_ = tokens_of(*golden_);
  }
  // `metric` under the name that the goldens have for it.
  void expect(Metric metric, const std::string& key, const Scores& scores, double tolerance) const {
    ASSERT_EQ(scores.size(), golden_->images.size());
    const auto i_of = static_cast<size_t>(metric);
    for (size_t i = 0; i < scores.size(); ++i) {
      const GoldenImage& image = golden_->images[i];
      EXPECT_NEAR(*scores.image(i)[i_of], image.scores.at(key), tolerance)
          << key << " of image " << image.id;
    }
    EXPECT_NEAR(*scores.corpus()[i_of], golden_->corpus.at(key), tolerance) << key;
  }

  std::optional<MetricGolden> golden_;
  std::vector<TokenizedImage> images_;
};

TEST_P(GoldenScores, BleuRougeCider) {
  const Scores scores(images_, {.meteor = false}, {}, nullptr);
  for (const Metric metric : kAllMetrics) {
    if (metric == Metric::kMeteor) continue;
    expect(metric, std::string(metric_name(metric)), scores, kTolerance);
  }
}

// The 23 numbers of METEOR's SCORE line.
std::vector<double> line_of(const MeteorStatistics& s) {
  std::vector<double> line = {s.candidate_length, s.reference_length, s.candidate_function,
                              s.reference_function};
  for (const MeteorStatistics::Matched& m : s.matched) {
    line.insert(line.end(), {m.candidate_content, m.reference_content, m.candidate_function,
                             m.reference_function});
  }
  line.insert(line.end(), {s.chunks, s.candidate_matched(), s.reference_matched()});
  return line;
}

std::vector<double> numbers(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<double>(stream), {}};
}

class GoldenMeteor : public GoldenScores {
 protected:
  void expect_modules(const std::string& key, const MeteorModules& modules) const {
    const MetricChoice meteor_alone{.bleu = false, .rouge = false, .cider = false};
    expect(Metric::kMeteor, key, Scores(images_, meteor_alone, modules, nullptr), kMeteorTolerance);
    const std::vector<MeteorStatistics> statistics = meteor(images_, modules).statistics;
    for (size_t i = 0; i < images_.size(); ++i) {
      const GoldenImage& image = golden_->images[i];
      EXPECT_EQ(line_of(statistics[i]), numbers(image.statistics.at(key + "_stats")))
          << key << " of image " << image.id;
    }
  }
  static std::shared_ptr<const Wordnet> wordnet() {
    static const Result<Wordnet> loaded = Wordnet::load(kWordnetFolder);
    return loaded.ok() ? std::make_shared<const Wordnet>(*loaded) : nullptr;
  }
};

TEST_P(GoldenMeteor, Exact) {
  expect_modules("METEOR_exact", {.stem = false});
}

TEST_P(GoldenMeteor, ExactStem) {
  expect_modules("METEOR_exact_stem", {.stem = true});
}

TEST_P(GoldenMeteor, ExactStemSynonym) {
  const auto synonyms = wordnet();
  if (!synonyms) GTEST_SKIP() << "the package wordnet-base is not installed";
  expect_modules("METEOR_exact_stem_synonym", {.stem = true, .wordnet = synonyms});
}

TEST_P(GoldenMeteor, AllModulesWithASyntheticTable) {
  const auto synonyms = wordnet();
  const Result<Paraphrases> table =
      Paraphrases::load(test::metric_file("paraphrase-synthetic-en.gz"));
  if (!synonyms || !table.ok()) GTEST_SKIP() << "wordnet-base or the table is not here";
  expect_modules("METEOR_full_synthetic_paraphrase",
                 {.stem = true,
                  .wordnet = synonyms,
                  .paraphrases = std::make_shared<const Paraphrases>(*table)});
}

constexpr const char* kSets[] = {"edge", "model", "human_loo", "fakecap"};
INSTANTIATE_TEST_SUITE_P(All, GoldenScores, testing::ValuesIn(kSets));
INSTANTIATE_TEST_SUITE_P(All, GoldenMeteor, testing::ValuesIn(kSets));

TEST(Cider, IsZeroOnOneImageWithoutATable) {
  const std::vector<TokenizedImage> one = {{{"a dog runs", "a brown dog"}, "a dog runs"}};
  EXPECT_EQ(cider(one, document_frequencies(one)), std::vector<double>{0});
  DocumentFrequencies table;
  table.images = 100;
  table.ngrams = {{"a", 90}, {"dog", 10}};
  EXPECT_GT(cider(one, table)[0], 1);
}

}  // namespace
}  // namespace fastvlm
