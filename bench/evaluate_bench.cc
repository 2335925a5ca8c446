// SPDX-License-Identifier: Apache-2.0
// Scores 5,000 images with five references each, captions and all made up from COCO's most frequent
// words, on one thread:  build/release/evaluate_bench
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <random>

#include "base/strings.h"
#include "evaluate/evaluation.h"
#include "evaluate/evaluation_json.h"

namespace {

using namespace fastvlm;

constexpr size_t kImages = 5000;
constexpr size_t kReferences = 5;

// A caption of 8 to 13 words; frequent words come first and most often.
std::string made_up_caption(std::mt19937& random) {
  static const std::vector<std::string> kWords = split(
      "a of on the in with and is man to sitting an two at standing people are next white woman "
      "street table holding person large down top group field small near tennis plate up train "
      "riding black dog front room cat young red his water playing walking while baseball bathroom "
      "men it sign kitchen boy blue ball some food skateboard over grass girl three has pizza its "
      "player that parked bear other for bus into building by beach wooden snow surfboard bed "
      "laying "
      "green from horse wearing several eating toilet flying looking brown phone clock "
      "sits giraffes ran happily computers children's U.S. ski-lift 3 couldn't zebras frisbee "
      "umbrellas traffic boats motorcycles elephants walked quickly sandwiches, vases; stop! "
      "(left)",
      ' ');
  std::exponential_distribution<double> rank(1.0 / 25);
  const size_t count = 8 + random() % 6;
  std::string text;
  for (size_t i = 0; i < count; ++i) {
    const size_t word = static_cast<size_t>(rank(random)) % kWords.size();
    text += (i == 0 ? "" : " ") + kWords[word];
  }
  return text + ".";
}

EvaluationSet made_up_set() {
  std::mt19937 random(1);
  EvaluationSet set;
  for (size_t i = 0; i < kImages; ++i) {
    EvaluatedImage image;
    image.id = std::to_string(i);
    for (size_t r = 0; r < kReferences; ++r) image.references.push_back(made_up_caption(random));
    image.candidate = made_up_caption(random);
    set.images.push_back(std::move(image));
  }
  return set;
}

// Of this processor: other work on the machine does not count.
double seconds(const EvaluationSet& set, const EvaluationOptions& options) {
  const std::clock_t start = std::clock();
  const Result<Evaluation> evaluation = evaluate("made up", set, options);
  if (!evaluation.ok() || to_json(*evaluation).empty()) std::abort();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

}  // namespace

int main() {
  const EvaluationSet set = made_up_set();
  EvaluationOptions options;
  options.bootstrap.resamples = 0;
  options.metrics.meteor = false;
  std::printf("%zu images, %zu references each, one thread\n", kImages, kReferences);
  std::printf("BLEU, ROUGE-L, CIDEr          %6.2f s\n", seconds(set, options));
  Result<Wordnet> wordnet = Wordnet::load(kWordnetFolder);
  if (!wordnet.ok()) {
    std::fprintf(stderr, "%s\n", wordnet.status().message.c_str());
    return 2;
  }
  options.meteor.wordnet = std::make_shared<const Wordnet>(std::move(wordnet).value());
  options.metrics = {false, true, false, false};
  std::printf("METEOR, exact stem synonym    %6.2f s\n", seconds(set, options));
  options.metrics = {};
  options.bootstrap.resamples = 1000;
  std::printf("all, with 1000 resamples      %6.2f s\n", seconds(set, options));
  return 0;
}
