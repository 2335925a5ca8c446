// SPDX-License-Identifier: Apache-2.0
#include "quantize/comparison.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "language/qwen2.h"
#include "text/tokenizer.h"

namespace fastvlm {
namespace {

constexpr const char* kTexts[] = {
    "1. Main Focus – A brown dog is lying on the wet sand, its head turned to the sea.\n"
    "2. Surrounding Objects & Context – A red ball, two wooden chairs and a towel are near it.\n",
    "3. Spatial Relationships – The chairs stand behind the dog on the left, the ball in front.\n"
    "4. Activities & Interactions – The dog seems to rest after a run; nobody else is in view.\n",
    "5. Scene Type & Time – A beach in the late afternoon.\n6. Inferences & Intent – Someone may "
    "have thrown the ball a moment ago.\n7. Style & Aesthetic – Warm light, calm, soft colors.\n"};
constexpr int32_t kMadeUp = 48;  // ids of a probe without a tokenizer

// What a model makes of all probes, end to end.
struct Outputs {
  std::vector<float> logits;
  std::vector<std::vector<float>> hidden;  // [layers + 1]
};

Result<Outputs> run(const Checkpoint& checkpoint, const std::vector<std::vector<int32_t>>& probes,
                    ThreadPool& pool, const AttachedAdapter& adapter) {
  FASTVLM_ASSIGN(Qwen2 model, Qwen2::load(checkpoint, pool));
  if (adapter.adapter != nullptr) {
    FASTVLM_RETURN_IF_ERROR(model.attach(*adapter.adapter, adapter.strength, pool));
  }
  const LanguageConfig& config = model.config();
  Outputs outputs;
  outputs.hidden.resize(static_cast<size_t>(config.layers) + 1);
  for (const std::vector<int32_t>& ids : probes) {
    const auto n = static_cast<int64_t>(ids.size());
    std::vector<float> rows(ids.size() * static_cast<size_t>(config.hidden_size));
    FASTVLM_RETURN_IF_ERROR(model.embed(ids, rows.data()));
    KvCache cache(config, n);
    std::vector<float> logits;
    FASTVLM_RETURN_IF_ERROR(model.forward(
        cache, rows.data(), n, Qwen2::Logits::kAll, logits, pool,
        {.hidden = [&](int64_t layer, const float* hidden, int64_t count, int64_t width) {
          auto& all = outputs.hidden[static_cast<size_t>(layer)];
          all.insert(all.end(), hidden, hidden + count * width);
        }}));
    outputs.logits.insert(outputs.logits.end(), logits.begin(), logits.end());
  }
  return outputs;
}

double relative_error(const std::vector<float>& reference, const std::vector<float>& changed) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double value = static_cast<double>(reference[i]);
    difference += std::pow(static_cast<double>(changed[i]) - value, 2);
    size += value * value;
  }
  return size > 0 ? std::sqrt(difference / size) : std::sqrt(difference);
}

}  // namespace

int64_t ModelComparison::worst_layer() const {
  return std::max_element(layers.begin(), layers.end()) - layers.begin();
}

Result<std::vector<std::vector<int32_t>>> probe_ids(const Checkpoint& checkpoint) {
  std::vector<std::vector<int32_t>> probes;
  const int64_t vocabulary = checkpoint.config().language.vocab_size;
  const auto tokenizer = Tokenizer::load(checkpoint.folder());
  if (!tokenizer.ok() && tokenizer.status().code != Code::kNotFound) return tokenizer.status();
  for (uint32_t probe = 0; probe < std::size(kTexts); ++probe) {
    std::vector<int32_t> ids;
    if (tokenizer.ok()) {
      FASTVLM_ASSIGN(ids, tokenizer->encode(kTexts[probe], Trust::kUser));
    } else {
      for (uint32_t i = 0; i < kMadeUp; ++i) {  // Knuth's multiplicative hash
        const uint32_t hash = (probe * kMadeUp + i + 1) * 2654435761U;
        ids.push_back(static_cast<int32_t>(hash % static_cast<uint64_t>(vocabulary)));
      }
    }
    probes.push_back(std::move(ids));
  }
  return probes;
}

Result<ModelComparison> compare_models(const Checkpoint& reference, const Checkpoint& changed,
                                       const std::vector<std::vector<int32_t>>& probes,
                                       ThreadPool& pool, const AttachedAdapter& adapter) {
  const LanguageConfig& a = reference.config().language;
  const LanguageConfig& b = changed.config().language;
  if (a.layers != b.layers || a.hidden_size != b.hidden_size || a.vocab_size != b.vocab_size) {
    return error(Code::kInvalid,
                 cat(changed.folder().string(), ": ", b.layers, " layers of width ", b.hidden_size,
                     " and ", b.vocab_size, " tokens; ", reference.folder().string(), " has ",
                     a.layers, ", ", a.hidden_size, " and ", a.vocab_size),
                 "compare a model with the one that it was made from");
  }
  FASTVLM_ASSIGN(const Outputs expected, run(reference, probes, pool, adapter));
  FASTVLM_ASSIGN(const Outputs found, run(changed, probes, pool, {}));
  ModelComparison comparison;
  comparison.logits_error = relative_error(expected.logits, found.logits);
  for (size_t layer = 0; layer < expected.hidden.size(); ++layer) {
    comparison.layers.push_back(relative_error(expected.hidden[layer], found.hidden[layer]));
  }
  comparison.positions = static_cast<int64_t>(expected.logits.size()) / a.vocab_size;
  int64_t same = 0;
  for (int64_t at = 0; at < comparison.positions; ++at) {
    const float* left = expected.logits.data() + at * a.vocab_size;
    const float* right = found.logits.data() + at * a.vocab_size;
    for (int64_t i = 0; i < a.vocab_size; ++i) {
      comparison.largest_difference = std::max(comparison.largest_difference,
                                               std::abs(static_cast<double>(left[i] - right[i])));
    }
    same += std::max_element(left, left + a.vocab_size) - left ==
                    std::max_element(right, right + a.vocab_size) - right
                ? 1
                : 0;
  }
  comparison.agreement = static_cast<double>(same) / static_cast<double>(comparison.positions);
  return comparison;
}

}  // namespace fastvlm
