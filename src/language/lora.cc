// SPDX-License-Identifier: Apache-2.0
#include "language/lora.h"

#include <algorithm>
#include <cmath>
#include <regex>

#include "base/random.h"
#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr int64_t kMostRank = 4096;

constexpr std::array<std::string_view, kLoraTargets> kNames = {
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"};

// Inputs and outputs of a layer.
std::pair<int64_t, int64_t> widths(const LanguageConfig& config, LoraTarget target) {
  const int64_t heads = config.heads * config.head_dim;
  switch (target) {
    case LoraTarget::kQ:
      return {config.hidden_size, heads};
    case LoraTarget::kK:
    case LoraTarget::kV:
      return {config.hidden_size, config.kv_heads * config.head_dim};
    case LoraTarget::kO:
      return {heads, config.hidden_size};
    case LoraTarget::kGate:
    case LoraTarget::kUp:
      return {config.hidden_size, config.intermediate_size};
    case LoraTarget::kDown:
      break;
  }
  return {config.intermediate_size, config.hidden_size};
}

Status check(const LoraSettings& settings) {
  const auto wrong = [](std::string_view what, const std::string& expected, const auto& found) {
    return error(Code::kUsage, cat("LoRA ", what, ": expected ", expected, ", found ", found),
                 "give another value");
  };
  const std::string rank = cat("a whole number from 1 to ", kMostRank);
  if (settings.rank < 1 || settings.rank > kMostRank) return wrong("rank", rank, settings.rank);
  if (!(settings.alpha > 0 && std::isfinite(settings.alpha))) {
    return wrong("alpha", "a number above 0", settings.alpha);
  }
  if (!(settings.dropout >= 0 && settings.dropout < 1)) {
    return wrong("dropout", "a number from 0 to below 1", settings.dropout);
  }
  for (const auto& [pattern, value] : settings.rank_pattern) {
    if (value < 1 || value > kMostRank) return wrong(cat("rank of ", pattern), rank, value);
  }
  for (const auto& [pattern, value] : settings.alpha_pattern) {
    if (!(value > 0 && std::isfinite(value))) {
      return wrong(cat("alpha of ", pattern), "a number above 0", value);
    }
  }
  if (settings.targets.empty()) return wrong("targets", "names of layers", "none");
  return {};
}

bool ends_with_part(std::string_view name, std::string_view end) {
  return name == end || (name.size() > end.size() && name.ends_with(end) &&
                         name[name.size() - end.size() - 1] == '.');
}

bool is_target(const std::vector<std::string>& targets, std::string_view name) {
  return std::any_of(targets.begin(), targets.end(),
                     [&](const std::string& target) { return ends_with_part(name, target); });
}

// std::regex recurses with the length of a pattern, and repetitions within repetitions take time
// without an end.
bool is_harmless(std::string_view pattern) {
  constexpr std::string_view kRepetitions = "*+{";
  size_t repetitions = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (kRepetitions.find(pattern[i]) == std::string_view::npos) continue;
    if (i > 0 && pattern[i - 1] == ')') return false;
    ++repetitions;
  }
  return pattern.size() <= 256 && repetitions <= 3;
}

// Values for names that match regular expressions.
template <typename T>
class Patterns {
 public:
  static Result<Patterns> compile(const std::vector<std::pair<std::string, T>>& patterns) {
    Patterns compiled;
    for (const auto& [pattern, value] : patterns) {
      if (!is_harmless(pattern)) {
        return error(
            Code::kUsage,
            cat("LoRA pattern ", printable(pattern.substr(0, 60)),
                ": expected at most 256 characters, three repetitions and none of a group"),
            "name the module, as \"layers.0.self_attn.q_proj\"");
      }
      try {
        compiled.entries_.emplace_back(std::regex(cat("(.*\\.)?(", pattern, ")")), value);
      } catch (const std::regex_error& problem) {
        return error(Code::kUsage,
                     cat("LoRA pattern ", printable(pattern), ": expected a regular expression, ",
                         problem.what()),
                     "mend rank_pattern or alpha_pattern");
      }
    }
    return compiled;
  }

  T value_or(const std::string& name, T otherwise) const {
    for (const auto& [pattern, value] : entries_) {
      if (std::regex_match(name, pattern)) return value;
    }
    return otherwise;
  }

 private:
  std::vector<std::pair<std::regex, T>> entries_;
};

}  // namespace

std::string lora_module_name(int64_t layer, LoraTarget target) {
  const std::string_view part = target <= LoraTarget::kO ? "self_attn" : "mlp";
  return cat("model.layers.", layer, ".", part, ".", kNames[static_cast<size_t>(target)]);
}

std::vector<std::string> all_target_names() {
  return {kNames.begin(), kNames.end()};
}

Result<LoraAdapter> LoraAdapter::create(const LanguageConfig& config,
                                        const LoraSettings& settings) {
  FASTVLM_RETURN_IF_ERROR(check(settings));
  FASTVLM_ASSIGN(const auto ranks, Patterns<int64_t>::compile(settings.rank_pattern));
  FASTVLM_ASSIGN(const auto alphas, Patterns<double>::compile(settings.alpha_pattern));
  LoraAdapter adapter;
  adapter.settings_ = settings;
  int64_t size = 0;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    adapter.index_.emplace_back();
    for (size_t target = 0; target < kLoraTargets; ++target) {
      LoraModule module;
      module.name = lora_module_name(layer, static_cast<LoraTarget>(target));
      int32_t& index = adapter.index_.back()[target];
      index = -1;
      if (!is_target(settings.targets, module.name)) continue;
      index = static_cast<int32_t>(adapter.modules_.size());
      std::tie(module.in, module.out) = widths(config, static_cast<LoraTarget>(target));
      module.rank = ranks.value_or(module.name, settings.rank);
      const auto rank = static_cast<double>(module.rank);
      module.scale = static_cast<float>(alphas.value_or(module.name, settings.alpha) /
                                        (settings.rank_stabilized ? std::sqrt(rank) : rank));
      module.a = size;
      module.b = module.a + module.a_size();
      size = module.b + module.b_size();
      adapter.modules_.push_back(std::move(module));
    }
  }
  for (const std::string& target : settings.targets) {
    const bool known =
        std::any_of(adapter.modules_.begin(), adapter.modules_.end(),
                    [&](const LoraModule& module) { return ends_with_part(module.name, target); });
    if (known) continue;
    return error(Code::kUsage, cat("LoRA target ", printable(target), ": no layer of that name"),
                 cat("choose among ", bracketed(all_target_names())));
  }
  adapter.projector_offset_ = size;
  adapter.parameters_.resize(static_cast<size_t>(size));
  return adapter;
}

void LoraAdapter::initialize(uint64_t seed) {
  std::fill_n(parameters_.begin(), projector_offset_, 0.0F);
  const RandomStream random(seed);
  for (size_t i = 0; i < modules_.size(); ++i) {
    const LoraModule& module = modules_[i];
    const RandomStream stream = random.part(i);
    const double bound = 1 / std::sqrt(static_cast<double>(module.in));
    for (int64_t j = 0; j < module.a_size(); ++j) {
      const double u = stream.uniform(static_cast<uint64_t>(j));
      parameters_[static_cast<size_t>(module.a + j)] = static_cast<float>(bound * (2 * u - 1));
    }
  }
}

void LoraAdapter::add_projector(const ProjectorWeights& start) {
  projector_ = start.shape;
  parameters_.insert(parameters_.end(), start.values.begin(), start.values.end());
}

ProjectorWeights LoraAdapter::projector_weights() const {
  return {*projector_, {parameters_.begin() + projector_offset_, parameters_.end()}};
}

Status LoraAdapter::check_fits(const LanguageConfig& config) const {
  constexpr char kMatching[] = "take the model that the adapter was trained on";
  const auto layers = static_cast<int64_t>(index_.size());
  if (layers != config.layers) {
    return error(Code::kInvalid,
                 cat("adapter: expected one of ", config.layers, " layers, found ", layers),
                 kMatching);
  }
  for (const auto& targets : index_) {
    for (size_t target = 0; target < kLoraTargets; ++target) {
      if (targets[target] < 0) continue;
      const LoraModule& module = modules_[static_cast<size_t>(targets[target])];
      const auto [in, out] = widths(config, static_cast<LoraTarget>(target));
      if (module.in == in && module.out == out) continue;
      return error(Code::kInvalid,
                   cat("adapter of ", module.name, ": expected ", out, " x ", in, ", found ",
                       module.out, " x ", module.in),
                   kMatching);
    }
  }
  return {};
}

const LoraModule* LoraAdapter::find(int64_t layer, LoraTarget target) const {
  const int32_t index = index_[static_cast<size_t>(layer)][static_cast<size_t>(target)];
  return index < 0 ? nullptr : &modules_[static_cast<size_t>(index)];
}

}  // namespace fastvlm
