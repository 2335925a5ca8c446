// SPDX-License-Identifier: Apache-2.0
#include "language/qwen2.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/strings.h"
#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/matmul.h"

namespace fastvlm {
namespace {

Output output(const Matrix& weights, const std::vector<float>& bias, float* y) {
  return {weights, y, weights.rows(), {.bias = bias.empty() ? nullptr : bias.data()}};
}

// y += x W^T
void multiply_add(ThreadPool& pool, const float* x, int64_t rows, const Matrix& weights, float* y) {
  matmul(pool, x, rows, weights.cols(), weights, y, weights.rows(),
         {.residual = y, .residual_stride = weights.rows()});
}

// y += scale * x A^T B^T, where the layer has an adapter. `inner` takes [rows, rank].
void adapt(ThreadPool& pool, const float* x, int64_t rows, const Qwen2::Linear& linear,
           float* inner, float* y) {
  if (!linear.adapter) return;
  const Matrix& a = linear.adapter->a;
  matmul(pool, x, rows, a.cols(), a, inner, a.rows());
  multiply_add(pool, inner, rows, linear.adapter->b, y);
}

Status check_room(const KvCache& cache, int64_t n) {
  if (n >= 1 && n <= cache.capacity() - cache.length()) return {};
  return error(Code::kLimit,
               cat("cache of ", cache.capacity(), " rows holds ", cache.length(),
                   " and cannot take ", n, " more"),
               "make the cache as long as prompt and answer together");
}

}  // namespace

// Rows of a chunk, inside the cache's scratch.
struct Qwen2::Scratch {
  float* x;         // [rows, hidden], the residual stream
  float* normed;    // [rows, hidden]
  float* q;         // [rows, heads * head_dim]
  float* k;         // [rows, kv_heads * head_dim]
  float* v;         // [rows, kv_heads * head_dim]
  float* attended;  // [rows, heads * head_dim]
  float* gated;     // [rows, intermediate]
  float* up;        // [rows, intermediate] where an adapter is attached
  float* inner;     // [rows, rank] of the adapter

  Scratch(const LanguageConfig& config, int64_t rank, int64_t rows, std::vector<float>& memory) {
    const int64_t hidden = config.hidden_size;
    const int64_t heads = config.heads * config.head_dim;
    const int64_t kv_heads = config.kv_heads * config.head_dim;
    const int64_t adapted = rank == 0 ? 0 : config.intermediate_size + rank;
    const auto needed = static_cast<size_t>(
        rows * (2 * (hidden + heads + kv_heads) + config.intermediate_size + adapted));
    if (memory.size() < needed) memory.resize(needed);
    x = memory.data();
    normed = x + rows * hidden;
    q = normed + rows * hidden;
    k = q + rows * heads;
    v = k + rows * kv_heads;
    attended = v + rows * kv_heads;
    gated = attended + rows * heads;
    up = gated + rows * config.intermediate_size;
    inner = up + rows * config.intermediate_size;
  }
};

// The next n rows of a chunk, which belong to one timeline.
struct Qwen2::Part {
  KvCache* cache;
  int64_t n;
};

Status check_positions(int64_t limit, int64_t prompt_tokens, int64_t max_tokens) {
  if (prompt_tokens < 1 || max_tokens < 1) {
    return error(Code::kUsage,
                 cat("prompt of ", prompt_tokens, " tokens, answer of at most ", max_tokens,
                     ": both must be at least 1"),
                 "give a prompt and ask for one token or more");
  }
  if (prompt_tokens <= limit && max_tokens <= limit - prompt_tokens) return {};
  return error(Code::kLimit,
               cat("prompt of ", prompt_tokens, " tokens and answer of at most ", max_tokens,
                   " exceed the model's context of ", limit, " tokens"),
               "shorten the prompt or ask for fewer tokens");
}

Status Qwen2::check_context(int64_t prompt_tokens, int64_t max_tokens) const {
  return check_positions(context_limit_, prompt_tokens, max_tokens);
}

Status Qwen2::embed(std::span<const int32_t> ids, float* out) const {
  for (const int32_t id : ids) {
    if (id >= 0 && id < config_.vocab_size) continue;
    return error(Code::kInvalid,
                 cat("token id ", id, " is outside the model's vocabulary of ", config_.vocab_size),
                 "check that tokenizer and checkpoint belong together");
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    embedding_.row_to_f32(ids[i], out + static_cast<int64_t>(i) * config_.hidden_size);
  }
  return {};
}

Status Qwen2::forward(KvCache& cache, const float* rows, int64_t n, Logits want,
                      std::vector<float>& logits, ThreadPool& pool,
                      const Watchers& watchers) const {
  const int64_t wanted = want == Logits::kAll ? n : want == Logits::kLast ? 1 : 0;
  logits.resize(static_cast<size_t>(wanted * config_.vocab_size));
  return forward(cache, rows, n, wanted, logits.data(), pool, watchers);
}

Status Qwen2::forward(KvCache& cache, const float* rows, int64_t n, int64_t wanted, float* logits,
                      ThreadPool& pool, const Watchers& watchers) const {
  FASTVLM_RETURN_IF_ERROR(check_room(cache, n));
  const Scratch scratch(config_, adapter_rank_, std::min(n, kChunkRows), cache.scratch_);
  for (const Chunk& chunk : chunks(n, wanted)) {
    const int64_t keep = watchers ? chunk.count : chunk.wanted;
    std::copy_n(rows + chunk.begin * config_.hidden_size, chunk.count * config_.hidden_size,
                scratch.x);
    const Part part{&cache, chunk.count};
    run_chunk({&part, 1}, scratch, chunk.count, keep, pool, watchers);
    if (chunk.wanted == 0) continue;
    matmul(pool, scratch.normed + (keep - chunk.wanted) * config_.hidden_size, chunk.wanted,
           config_.hidden_size, head(), logits + chunk.logits_row * config_.vocab_size,
           config_.vocab_size);
  }
  return {};
}

std::vector<Qwen2::Chunk> Qwen2::chunks(int64_t n, int64_t wanted) {
  std::vector<Chunk> chunks;
  for (int64_t begin = 0; begin < n; begin += kChunkRows) {
    const int64_t count = std::min(n - begin, kChunkRows);
    const int64_t first_wanted = std::max(n - wanted, begin);
    const int64_t outputs = std::max(begin + count - first_wanted, int64_t{0});
    chunks.push_back({begin, count, outputs, outputs == 0 ? 0 : first_wanted - (n - wanted)});
  }
  return chunks;
}

Status Qwen2::forward_together(std::span<const Turn> turns, std::vector<float>& logits,
                               ThreadPool& pool) const {
  std::vector<Part> parts;
  int64_t n = 0;
  for (const Turn& turn : turns) {
    FASTVLM_RETURN_IF_ERROR(check_room(*turn.cache, turn.n));
    parts.push_back({turn.cache, turn.n});
    n += turn.n;
  }
  if (n > kChunkRows) {
    return error(Code::kLimit, cat(n, " rows in one pass"),
                 cat("run at most ", kChunkRows, " together"));
  }
  logits.resize(static_cast<size_t>(n * config_.vocab_size));
  if (n == 0) return {};
  const Scratch scratch(config_, adapter_rank_, n, turns[0].cache->scratch_);
  float* x = scratch.x;
  for (const Turn& turn : turns) x = std::copy_n(turn.rows, turn.n * config_.hidden_size, x);
  run_chunk(parts, scratch, n, n, pool, {});
  matmul(pool, scratch.normed, n, config_.hidden_size, head(), logits.data(), config_.vocab_size);
  return {};
}

void Qwen2::run_chunk(std::span<const Part> parts, const Scratch& scratch, int64_t n, int64_t keep,
                      ThreadPool& pool, const Watchers& watchers) const {
  const int64_t hidden = config_.hidden_size;
  for (int64_t i = 0; i < config_.layers; ++i) {
    if (watchers.hidden) watchers.hidden(i, scratch.x, n, hidden);
    // Nothing reads the last block's output but the final norm: there, most rows only leave their
    // keys and values behind.
    const int64_t outputs = i + 1 == config_.layers ? keep : n;
    const Layer& layer = layers_[static_cast<size_t>(i)];
    attend(layer, i, parts, scratch, n, outputs, pool, watchers.inputs);
    feed_forward(layer, i, scratch, n - outputs, outputs, pool, watchers.inputs);
  }
  for (const Part& part : parts) part.cache->length_ += part.n;
  if (keep == 0) return;
  rms_norm(pool, scratch.x + (n - keep) * hidden, keep, hidden, final_norm_.data(),
           config_.rms_norm_eps, scratch.normed);
  if (watchers.hidden) watchers.hidden(config_.layers, scratch.normed, keep, hidden);
}

// x[n - keep ..] += o(attention(q, k, v)); keys and values of all n rows go to the caches.
void Qwen2::attend(const Layer& layer, int64_t index, std::span<const Part> parts,
                   const Scratch& scratch, int64_t n, int64_t keep, ThreadPool& pool,
                   const InputSink& inputs) const {
  const int64_t hidden = config_.hidden_size;
  const int64_t q_width = config_.heads * config_.head_dim;
  const int64_t kv_width = config_.kv_heads * config_.head_dim;
  const int64_t skipped = n - keep;
  const auto rotate = [&](float* rows, int64_t count, int64_t heads, int64_t position) {
    rope(pool, rows, count, heads * config_.head_dim, heads, config_.head_dim, position,
         config_.rope_theta);
  };

  rms_norm(pool, scratch.x, n, hidden, layer.attention_norm.data(), config_.rms_norm_eps,
           scratch.normed);
  if (inputs) inputs(index, LoraTarget::kQ, scratch.normed, n, hidden);
  const Output outputs[] = {output(layer.k.weights, layer.k.bias, scratch.k),
                            output(layer.v.weights, layer.v.bias, scratch.v),
                            output(layer.q.weights, layer.q.bias, scratch.q)};
  const std::span<const Output> together(outputs, skipped == 0 ? 3 : 2);
  matmul(pool, scratch.normed, n, hidden, together);
  adapt(pool, scratch.normed, n, layer.k, scratch.inner, scratch.k);
  adapt(pool, scratch.normed, n, layer.v, scratch.inner, scratch.v);
  int64_t begin = 0;  // of a part's rows
  for (const auto& [cache, count] : parts) {
    float* k = scratch.k + begin * kv_width;
    rotate(k, count, config_.kv_heads, cache->next_position());
    cache->layer(index).store(cache->length(), count, k, kv_width, scratch.v + begin * kv_width,
                              kv_width);
    begin += count;
  }
  if (keep == 0) return;

  if (skipped != 0) {
    matmul(pool, scratch.normed + skipped * hidden, keep, hidden, {&outputs[2], 1});
  }
  adapt(pool, scratch.normed + skipped * hidden, keep, layer.q, scratch.inner, scratch.q);
  AttentionShape shape = {.heads = config_.heads,
                          .kv_heads = config_.kv_heads,
                          .head_dim = config_.head_dim,
                          .scale = 1.0F / std::sqrt(static_cast<float>(config_.head_dim)),
                          .causal = true};
  begin = 0;
  for (const auto& [cache, count] : parts) {
    const int64_t first = std::max(skipped, begin);  // that is kept
    begin += count;
    shape.queries = begin - first;
    shape.keys = cache->length() + count;
    if (shape.queries <= 0) continue;
    float* q = scratch.q + (first - skipped) * q_width;
    rotate(q, shape.queries, config_.heads, cache->next_position() + count - shape.queries);
    attention(pool, shape, q, q_width, cache->layer(index),
              scratch.attended + (first - skipped) * q_width, q_width);
  }
  float* x = scratch.x + skipped * hidden;
  if (inputs) inputs(index, LoraTarget::kO, scratch.attended, keep, q_width);
  multiply_add(pool, scratch.attended, keep, layer.o.weights, x);
  adapt(pool, scratch.attended, keep, layer.o, scratch.inner, x);
}

// x[begin .. begin + rows] += down(silu(gate(x)) * up(x)), x normed first.
void Qwen2::feed_forward(const Layer& layer, int64_t index, const Scratch& scratch, int64_t begin,
                         int64_t rows, ThreadPool& pool, const InputSink& inputs) const {
  if (rows == 0) return;
  float* x = scratch.x + begin * config_.hidden_size;
  rms_norm(pool, x, rows, config_.hidden_size, layer.mlp_norm.data(), config_.rms_norm_eps,
           scratch.normed);
  if (inputs) inputs(index, LoraTarget::kGate, scratch.normed, rows, config_.hidden_size);
  if (layer.gate.adapter || layer.up.adapter) {
    const Output outputs[] = {output(layer.gate.weights, {}, scratch.gated),
                              output(layer.up.weights, {}, scratch.up)};
    matmul(pool, scratch.normed, rows, config_.hidden_size, outputs);
    adapt(pool, scratch.normed, rows, layer.gate, scratch.inner, scratch.gated);
    adapt(pool, scratch.normed, rows, layer.up, scratch.inner, scratch.up);
    silu_multiply(pool, scratch.gated, scratch.up, rows * config_.intermediate_size);
  } else {
    gated_matmul(pool, scratch.normed, rows, config_.hidden_size, layer.gate.weights,
                 layer.up.weights, scratch.gated);
  }
  if (inputs) inputs(index, LoraTarget::kDown, scratch.gated, rows, config_.intermediate_size);
  multiply_add(pool, scratch.gated, rows, layer.down.weights, x);
  adapt(pool, scratch.gated, rows, layer.down, scratch.inner, x);
}

}  // namespace fastvlm
