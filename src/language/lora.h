// SPDX-License-Identifier: Apache-2.0
// A low-rank adapter of the language model's linear layers, with the semantics of PEFT:
//   y = x W^T + bias + scale * dropout(x) A^T B^T,   scale = alpha / rank, or alpha / sqrt(rank)
// Beside it the projector may be learnt as a whole (PEFT's modules_to_save).
// All parameters lie in one array, so that an optimiser, a checkpoint and a norm see plain numbers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/config.h"
#include "formats/projector_weights.h"

namespace fastvlm {

// The linear layers of a block, in the order in which they run.
enum class LoraTarget { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr size_t kLoraTargets = 7;

// "model.layers.0.self_attn.q_proj"
std::string lora_module_name(int64_t layer, LoraTarget target);
std::vector<std::string> all_target_names();  // "q_proj", ... in the order of LoraTarget

struct LoraSettings {
  int64_t rank = 128;
  double alpha = 256;
  double dropout = 0.1;
  bool rank_stabilized = false;  // scale = alpha / sqrt(rank)
  // Names of modules: the end of a name after a dot ("q_proj") or a whole one
  // ("model.layers.0.self_attn.q_proj").
  std::vector<std::string> targets = all_target_names();
  // Another rank or alpha for modules whose name, from its start or from a dot on, matches the
  // regular expression; the first match counts.
  std::vector<std::pair<std::string, int64_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
};

// One adapted layer: A [rank, in] and B [out, rank], row by row, at offsets of the parameters.
struct LoraModule {
  std::string name;  // "model.layers.0.self_attn.q_proj"
  int64_t in = 0;
  int64_t out = 0;
  int64_t rank = 0;
  float scale = 0;
  int64_t a = 0;
  int64_t b = 0;

  int64_t a_size() const { return rank * in; }
  int64_t b_size() const { return out * rank; }
};

class LoraAdapter {
 public:
  // All parameters zero. Errors: settings out of range, a target or pattern that names nothing.
  static Result<LoraAdapter> create(const LanguageConfig& config, const LoraSettings& settings);

  // As PEFT: A uniform in +-1 / sqrt(in), B zero. The same seed gives the same numbers anywhere.
  // The projector stays as it is.
  void initialize(uint64_t seed);

  // The projector, to be learnt from these weights on; its parameters come last. Once.
  void add_projector(const ProjectorWeights& start);
  // Its shape; none: it is not learnt.
  const std::optional<ProjectorShape>& projector() const { return projector_; }
  int64_t projector_offset() const { return projector_offset_; }  // in the parameters
  // The projector as it is now. Requires projector().
  ProjectorWeights projector_weights() const;

  const LoraSettings& settings() const { return settings_; }
  void set_dropout(double rate) { settings_.dropout = rate; }
  const std::vector<LoraModule>& modules() const { return modules_; }
  // kInvalid unless it was made for a model of this shape.
  Status check_fits(const LanguageConfig& config) const;
  // Null where the layer is not adapted.
  const LoraModule* find(int64_t layer, LoraTarget target) const;

  std::span<float> parameters() { return parameters_; }
  std::span<const float> parameters() const { return parameters_; }

 private:
  LoraSettings settings_;
  std::vector<LoraModule> modules_;                       // layer by layer
  std::vector<std::array<int32_t, kLoraTargets>> index_;  // [layers], into modules_; -1: none
  std::optional<ProjectorShape> projector_;
  int64_t projector_offset_ = 0;  // the end of the modules' parameters
  std::vector<float> parameters_;
};

}  // namespace fastvlm
