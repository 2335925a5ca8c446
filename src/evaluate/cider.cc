// SPDX-License-Identifier: Apache-2.0
#include "evaluate/cider.h"

#include <algorithm>
#include <cmath>

#include "evaluate/ngrams.h"

namespace fastvlm {
namespace {

constexpr double kSigma = 6;
constexpr double kScale = 10;

struct Weighted {
  NgramId ngram;
  double weight;
};

// The tf-idf vector of a caption, by size of the n-grams.
struct Vector {
  std::array<std::vector<Weighted>, kNgramSizes> of_size;
  std::array<double, kNgramSizes> norm{};
  double length = 0;  // bigrams
};

// The idf weight of each n-gram that the index has met: ln(images) - ln(document frequency).
class Weights {
 public:
  Weights(const NgramIndex& index, const DocumentFrequencies& frequencies)
      : index_(index),
        frequencies_(frequencies),
        log_images_(std::log(static_cast<double>(frequencies.images))) {}

  double of(NgramId ngram) {
    if (ngram >= known_.size()) extend();
    return known_[ngram];
  }

 private:
  void extend() {
    for (auto ngram = static_cast<NgramId>(known_.size()); ngram < index_.size(); ++ngram) {
      const auto found = frequencies_.ngrams.find(index_.text(ngram));
      const double frequency =
          found == frequencies_.ngrams.end() ? 1 : static_cast<double>(found->second);
      known_.push_back(log_images_ - std::log(std::max(1.0, frequency)));
    }
  }

  const NgramIndex& index_;
  const DocumentFrequencies& frequencies_;
  double log_images_;
  std::vector<double> known_;
};

Vector vector_of(const NgramCounts& counts, Weights& weights) {
  Vector vector;
  vector.length = static_cast<double>(counts.total(2));
  for (size_t i = 0; i < kNgramSizes; ++i) {
    double squares = 0;
    for (const NgramCount& entry : counts.of_size[i]) {
      const double weight = entry.count * weights.of(entry.ngram);
      vector.of_size[i].push_back({entry.ngram, weight});
      squares += weight * weight;
    }
    vector.norm[i] = std::sqrt(squares);
  }
  return vector;
}

// Sum over the common n-grams of min(candidate, reference) * reference.
double clipped_product(const std::vector<Weighted>& candidate,
                       const std::vector<Weighted>& reference) {
  double sum = 0;
  auto other = reference.begin();
  for (const Weighted& entry : candidate) {
    while (other != reference.end() && other->ngram < entry.ngram) ++other;
    if (other == reference.end()) break;
    if (other->ngram == entry.ngram) sum += std::min(entry.weight, other->weight) * other->weight;
  }
  return sum;
}

double similarity(const Vector& candidate, const Vector& reference) {
  const double difference = candidate.length - reference.length;
  const double penalty = std::exp(-(difference * difference) / (2 * kSigma * kSigma));
  double sum = 0;
  for (size_t i = 0; i < kNgramSizes; ++i) {
    double product = clipped_product(candidate.of_size[i], reference.of_size[i]);
    if (candidate.norm[i] != 0 && reference.norm[i] != 0) {
      product /= candidate.norm[i] * reference.norm[i];
    }
    sum += product * penalty;
  }
  return sum / kNgramSizes;
}

}  // namespace

DocumentFrequencies document_frequencies(std::span<const TokenizedImage> images) {
  NgramIndex index;
  std::vector<int64_t> counts;
  std::vector<size_t> last_seen;  // the image, counted from 1, that raised the count
  for (size_t image = 0; image < images.size(); ++image) {
    for (const std::string& reference : images[image].references) {
      const NgramCounts found = index.count(reference);
      counts.resize(index.size(), 0);
      last_seen.resize(index.size(), 0);
      for (const auto& of_size : found.of_size) {
        for (const NgramCount& entry : of_size) {
          if (last_seen[entry.ngram] == image + 1) continue;
          last_seen[entry.ngram] = image + 1;
          ++counts[entry.ngram];
        }
      }
    }
  }
  DocumentFrequencies frequencies;
  frequencies.images = static_cast<int64_t>(images.size());
  for (NgramId ngram = 0; ngram < index.size(); ++ngram) {
    frequencies.ngrams.emplace(index.text(ngram), counts[ngram]);
  }
  return frequencies;
}

std::vector<double> cider(std::span<const TokenizedImage> images,
                          const DocumentFrequencies& frequencies) {
  NgramIndex index;
  Weights weights(index, frequencies);
  std::vector<double> scores;
  scores.reserve(images.size());
  for (const TokenizedImage& image : images) {
    const Vector candidate = vector_of(index.count(image.candidate), weights);
    double sum = 0;
    for (const std::string& reference : image.references) {
      sum += similarity(candidate, vector_of(index.count(reference), weights));
    }
    scores.push_back(sum / static_cast<double>(image.references.size()) * kScale);
  }
  return scores;
}

}  // namespace fastvlm
