// SPDX-License-Identifier: Apache-2.0
#include "quantize/importance.h"

#include <algorithm>
#include <numeric>

namespace fastvlm {
namespace {

// Of the mean: an input that was silent may speak in another picture.
constexpr double kLeast = 1e-3;

// The matrices that read the same input.
std::vector<LoraTarget> readers(LoraTarget first) {
  switch (first) {
    case LoraTarget::kQ:
      return {LoraTarget::kQ, LoraTarget::kK, LoraTarget::kV};
    case LoraTarget::kGate:
      return {LoraTarget::kGate, LoraTarget::kUp};
    default:
      return {first};
  }
}

}  // namespace

void Importance::count(const std::string& name, const float* values, int64_t rows, int64_t width) {
  std::vector<double>& sums = squares_[name];
  sums.resize(static_cast<size_t>(width));
  for (int64_t row = 0; row < rows; ++row, values += width) {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += static_cast<double>(values[i] * values[i]);
  }
}

Status Importance::add(const Qwen2& model, std::span<const float> rows, ThreadPool& pool) {
  const LanguageConfig& config = model.config();
  const int64_t n = static_cast<int64_t>(rows.size()) / config.hidden_size;
  KvCache cache(config, n);
  std::vector<float> no_logits;
  FASTVLM_RETURN_IF_ERROR(model.forward(
      cache, rows.data(), n, Qwen2::Logits::kNone, no_logits, pool,
      {.hidden =
           [&](int64_t layer, const float* hidden, int64_t count_of_rows, int64_t width) {
             if (layer < config.layers) return;
             count(config.tied ? "model.embed_tokens.weight" : "lm_head.weight", hidden,
                   count_of_rows, width);
           },
       .inputs =
           [&](int64_t layer, LoraTarget first, const float* inputs, int64_t count_of_rows,
               int64_t width) {
             for (const LoraTarget reader : readers(first)) {
               count(lora_module_name(layer, reader) + ".weight", inputs, count_of_rows, width);
             }
           }}));
  rows_ += n;
  return {};
}

std::vector<float> Importance::of(const std::string& name) const {
  const auto found = squares_.find(name);
  if (found == squares_.end()) return {};
  const std::vector<double>& sums = found->second;
  const double mean =
      std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(sums.size());
  std::vector<float> values(sums.size(), 1.0F);
  if (!(mean > 0)) return values;
  std::transform(sums.begin(), sums.end(), values.begin(),
                 [&](double sum) { return static_cast<float>(std::max(sum / mean, kLeast)); });
  return values;
}

}  // namespace fastvlm
