// SPDX-License-Identifier: Apache-2.0
// Adapters for tests: made-up numbers of the right shapes.
#pragma once

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "language/lora.h"

namespace fastvlm::test {

// A decoder of two small layers.
inline LanguageConfig small_config() {
  LanguageConfig config;
  config.hidden_size = 16;
  config.layers = 2;
  config.heads = 4;
  config.kv_heads = 2;
  config.head_dim = 4;
  config.intermediate_size = 24;
  config.vocab_size = 32;
  return config;
}

inline LoraSettings of_rank(int64_t rank, double alpha,
                            std::vector<std::string> targets = all_target_names()) {
  LoraSettings settings;
  settings.rank = rank;
  settings.alpha = alpha;
  settings.targets = std::move(targets);
  return settings;
}

// All parameters drawn from a normal distribution.
inline LoraAdapter random_adapter(const LanguageConfig& config, const LoraSettings& settings,
                                  float spread = 0.05F) {
  LoraAdapter adapter = *LoraAdapter::create(config, settings);
  std::mt19937 random(5);
  std::normal_distribution<float> values(0, spread);
  for (float& value : adapter.parameters()) value = values(random);
  return adapter;
}

// A projector of made-up numbers.
inline ProjectorWeights random_projector(const ProjectorShape& shape, float spread = 0.05F) {
  ProjectorWeights projector{shape, std::vector<float>(static_cast<size_t>(shape.size()))};
  std::mt19937 random(6);
  std::normal_distribution<float> values(0, spread);
  for (float& value : projector.values) value = values(random);
  return projector;
}

}  // namespace fastvlm::test
