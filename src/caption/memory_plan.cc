// SPDX-License-Identifier: Apache-2.0
#include "caption/memory_plan.h"

#include <algorithm>

#include "base/cpu.h"
#include "language/drafter.h"
#include "language/kv_cache.h"
#include "language/qwen2.h"

namespace fastvlm {
namespace {

constexpr auto kFloat = static_cast<int64_t>(sizeof(float));

// Rows that a decoder works on: those of the prompt and of a chunk on its way through the layers.
int64_t working_rows(const LanguageConfig& config, int64_t positions) {
  const int64_t heads = config.heads * config.head_dim;
  const int64_t kv_heads = config.kv_heads * config.head_dim;
  const int64_t a_chunk_row =
      2 * (config.hidden_size + heads + kv_heads) + config.intermediate_size;
  return std::min(positions, Qwen2::kChunkRows) * a_chunk_row + positions * config.hidden_size +
         config.vocab_size * static_cast<int64_t>(1 + Drafter::kMostDrafted);
}

}  // namespace

int64_t MemoryPlan::peak() const {
  return program + encoder + encoding + language + decoding;
}

int64_t MemoryPlan::peak_in_turns() const {
  return program + std::max(encoder + encoding, language) + decoding;
}

MemoryPlan plan_memory(const Checkpoint& checkpoint, const TowerPlan& tower, int64_t side,
                       int64_t text_tokens) {
  const LanguageConfig& language = checkpoint.config().language;
  MemoryPlan plan;
  plan.program = static_cast<int64_t>(resident_bytes());
  plan.encoder = tower.weight_bytes;
  for (const std::string& name : checkpoint.names()) {
    if (name.starts_with("projector.")) plan.encoder += checkpoint.stored_bytes(name);
    if (name.starts_with("model.") || name.starts_with("lm_head.")) {
      plan.language += checkpoint.stored_bytes(name);
    }
  }
  plan.encoding = tower.workspace_bytes(side, side) + side * side * 3 * kFloat;
  const int64_t tokens_a_side = side / std::max<int64_t>(tower.stride, 1);
  const int64_t positions =
      std::min(tokens_a_side * tokens_a_side + text_tokens, checkpoint.config().max_context);
  plan.decoding = KvCache(language, positions).bytes() + working_rows(language, positions) * kFloat;
  return plan;
}

}  // namespace fastvlm
