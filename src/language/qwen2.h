// SPDX-License-Identifier: Apache-2.0
// The Qwen2 decoder (docs/MODEL.md, section 3): embeddings, blocks of grouped-query attention with
// rotary positions and gated MLPs, RMS norms, and a head that may be the embedding itself. Goals:
// weights live once and are never changed by running, so one model serves many caches; a prompt is
// run in chunks, so that scratch memory does not grow with it; the head is computed where logits
// are wanted only. Non-goals: choosing tokens (sampler.h, decoding.h), text, other families.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "formats/checkpoint.h"
#include "kernels/matrix.h"
#include "language/kv_cache.h"
#include "language/lora.h"

namespace fastvlm {

// Receives the residual stream [rows, width] before layer 0 (`layer` 0), after each block but the
// last (1 ..), and at last (`layer` == layers) after the final norm, as Hugging Face's
// hidden_states. Once a chunk: a long prompt arrives as several calls with the same `layer`, rows
// in order.
using HiddenSink =
    std::function<void(int64_t layer, const float* hidden, int64_t rows, int64_t width)>;

// Receives what the linear layers of a block read, [rows, width]: q, k and v together (as kQ), o,
// gate and up together (as kGate), down. Once a chunk.
using InputSink = std::function<void(int64_t layer, LoraTarget first, const float* inputs,
                                     int64_t rows, int64_t width)>;

// Who watches a pass. With either all rows run through all blocks.
struct Watchers {
  HiddenSink hidden = {};
  InputSink inputs = {};

  explicit operator bool() const { return hidden || inputs; }
};

// kLimit unless a prompt and an answer of these lengths fit into `limit` positions; kUsage when one
// of them is below 1.
Status check_positions(int64_t limit, int64_t prompt_tokens, int64_t max_tokens);

class Qwen2 {
 public:
  static constexpr int64_t kChunkRows = 256;  // of a prompt that run together

  // Packs the weights and lets the pages of the file go, tensor by tensor. With kInt8 the linear
  // layers and the head of a 4- or 8-bit model read activations rounded to 8 bits.
  static Result<Qwen2> load(const Checkpoint& checkpoint, ThreadPool& pool,
                            Arithmetic arithmetic = Arithmetic::kF32);

  const LanguageConfig& config() const { return config_; }
  int64_t context_limit() const { return context_limit_; }  // positions, prompt and answer together
  int64_t bytes() const;                                    // of the packed weights
  int64_t parameters() const;

  // An error unless a prompt and an answer of these lengths fit the context: to be asked before any
  // work.
  Status check_context(int64_t prompt_tokens, int64_t max_tokens) const;

  // Embeds ids into out [ids.size(), hidden_size]. An id outside the vocabulary is an error.
  Status embed(std::span<const int32_t> ids, float* out) const;

  // Whether what a row gives is the same, bit for bit, whichever rows are run with it: where all
  // products are of bytes. Elsewhere a row that runs alone is summed up in another order.
  bool rows_are_independent() const;

  enum class Logits { kNone, kLast, kAll };
  // Runs rows [n, hidden_size], embedded ids or image tokens, behind what the cache holds, and
  // appends them to it. `logits` becomes [0 | 1 | n, vocab_size]. kLimit when the cache has no
  // room.
  Status forward(KvCache& cache, const float* rows, int64_t n, Logits want,
                 std::vector<float>& logits, ThreadPool& pool, const Watchers& watchers = {}) const;
  // The same with the logits of the last `wanted` rows (0 .. n), [wanted, vocab_size].
  Status forward(KvCache& cache, const float* rows, int64_t n, int64_t wanted, float* logits,
                 ThreadPool& pool, const Watchers& watchers = {}) const;

  // What forward() does one after the other: rows [begin, begin + count), of which the last
  // `wanted` give the rows of the logits from `logits_row` on.
  struct Chunk {
    int64_t begin = 0;
    int64_t count = 0;
    int64_t wanted = 0;
    int64_t logits_row = 0;
  };
  static std::vector<Chunk> chunks(int64_t n, int64_t wanted);

  // Rows [n, hidden_size] that come behind what a cache holds.
  struct Turn {
    KvCache* cache = nullptr;
    const float* rows = nullptr;
    int64_t n = 0;
  };
  // One pass for several timelines, for their answers: the weights, whose reading is what a row
  // costs, are read once for all. `logits` becomes [rows of all turns, vocab_size]. At most
  // kChunkRows rows; no cache twice. kLimit when a cache has no room; then none has changed.
  // Where rows_are_independent() each gets the numbers that it would get alone.
  Status forward_together(std::span<const Turn> turns, std::vector<float>& logits,
                          ThreadPool& pool) const;

  // Adds a LoRA adapter to the linear layers, `strength` times, at f32; the weights stay as they
  // are. kUsage when the model has one already, kInvalid when it is of another shape.
  Status attach(const LoraAdapter& adapter, float strength, ThreadPool& pool);

  // The weights, for training, which runs through them both ways.
  struct LowRank {
    Matrix a;  // [rank, in]
    Matrix b;  // [out, rank], times the adapter's scale
  };
  struct Linear {
    Matrix weights;
    std::vector<float> bias;  // empty where the model has none
    std::unique_ptr<const LowRank> adapter{};
  };
  struct Layer {
    std::vector<float> attention_norm, mlp_norm;
    Linear q, k, v, o, gate, up, down;

    // In the order of LoraTarget.
    std::array<Linear*, kLoraTargets> linears() { return {&q, &k, &v, &o, &gate, &up, &down}; }
    std::array<const Linear*, kLoraTargets> linears() const {
      return {&q, &k, &v, &o, &gate, &up, &down};
    }
  };
  const Layer& layer(int64_t index) const { return layers_[static_cast<size_t>(index)]; }
  const std::vector<float>& final_norm() const { return final_norm_; }
  const Matrix& head() const { return config_.tied ? embedding_ : head_; }  // [vocab, hidden]

 private:
  struct Scratch;
  struct Part;

  Qwen2() = default;

  template <typename Function>
  void for_each_linear(const Function& fn) const;

  // Runs n rows of scratch.x, those of all parts, through all layers; afterwards the last `keep` of
  // them are the output.
  void run_chunk(std::span<const Part> parts, const Scratch& scratch, int64_t n, int64_t keep,
                 ThreadPool& pool, const Watchers& watchers) const;
  void attend(const Layer& layer, int64_t index, std::span<const Part> parts,
              const Scratch& scratch, int64_t n, int64_t keep, ThreadPool& pool,
              const InputSink& inputs) const;
  void feed_forward(const Layer& layer, int64_t index, const Scratch& scratch, int64_t begin,
                    int64_t rows, ThreadPool& pool, const InputSink& inputs) const;

  LanguageConfig config_;
  int64_t context_limit_ = 0;
  int64_t adapter_rank_ = 0;  // the largest of the attached adapter; 0: none is attached
  Matrix embedding_;          // [vocab, hidden]
  Matrix head_;               // [vocab, hidden], packed when the model is not tied
  std::vector<float> final_norm_;
  std::vector<Layer> layers_;
};

}  // namespace fastvlm
