// SPDX-License-Identifier: Apache-2.0
#include "evaluate/evaluation.h"

#include <algorithm>
#include <map>

namespace fastvlm {
namespace {

bool has_sections(const EvaluatedImage& image) {
  const Sections sections = parse_sections(image.candidate);
  return std::count_if(sections.begin(), sections.end(),
                       [](const auto& s) { return s.has_value(); }) >= 2;
}

std::vector<std::string> factors_of(const EvaluatedImage& image, const EvaluationOptions& options) {
  const auto given = options.factors.find(image.id);
  if (given != options.factors.end()) return given->second;
  if (options.instances == nullptr) return {};
  const auto found = options.instances->find(image.id);
  return found == options.instances->end() ? std::vector<std::string>()
                                           : fastvlm::factors_of(found->second);
}

// In the order of factor_names(), then those that only a file names.
std::vector<FactorMembers> members_by_factor(const EvaluationSet& set,
                                             const EvaluationOptions& options) {
  std::map<std::string, std::vector<uint32_t>> members;
  for (size_t i = 0; i < set.images.size(); ++i) {
    for (const std::string& factor : factors_of(set.images[i], options)) {
      members[factor].push_back(static_cast<uint32_t>(i));
    }
  }
  std::vector<FactorMembers> factors;
  for (const std::string& name : factor_names()) {
    const auto found = members.find(name);
    if (found == members.end()) continue;
    factors.push_back({name, std::move(found->second)});
    members.erase(found);
  }
  for (auto& [name, images] : members) factors.push_back({name, std::move(images)});
  return factors;
}

}  // namespace

Result<Evaluation> evaluate(std::string name, EvaluationSet set, const EvaluationOptions& options) {
  if (set.images.empty()) {
    return error(Code::kInvalid, cat(name, ": no image to score"), "check the two files");
  }
  std::vector<TokenizedImage> tokens = tokenize(set, options.tokenized);
  Scores scores(tokens, options.metrics, options.meteor, options.frequencies);
  Evaluation evaluation{
      std::move(name), std::move(set), std::move(tokens), std::move(scores), {}, {}, {}, {}};
  const EvaluationSet& images = evaluation.set;
  if (options.bootstrap.resamples > 0) {
    evaluation.intervals = bootstrap(evaluation.scores, options.bootstrap);
  }
  evaluation.factors = members_by_factor(images, options);
  if (options.instances != nullptr) {
    FASTVLM_ASSIGN(evaluation.grounding, ground(images, *options.instances, ObjectNames::coco()));
  }
  if (std::any_of(images.images.begin(), images.images.end(), has_sections)) {
    evaluation.rubric = rubric(images);
  }
  evaluation.saved_frequencies = options.frequencies != nullptr;
  return evaluation;
}

}  // namespace fastvlm
