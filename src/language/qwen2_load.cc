// SPDX-License-Identifier: Apache-2.0
// From a checkpoint's tensors to packed weights. What the config says has been checked by its
// reader.
#include <algorithm>
#include <string>
#include <utility>

#include "base/strings.h"
#include "language/qwen2.h"

namespace fastvlm {
namespace {

// Packs a checkpoint's matrices by name.
struct Packer {
  const Checkpoint& checkpoint;
  ThreadPool& pool;
  Arithmetic arithmetic;

  Result<Matrix> operator()(const std::string& name, int64_t rows, int64_t cols) const {
    FASTVLM_ASSIGN(const MatrixSource source, checkpoint.matrix(name, rows, cols));
    Matrix packed = Matrix::pack(source, pool, arithmetic);
    checkpoint.release(name);
    return packed;
  }
};

}  // namespace

Result<Qwen2> Qwen2::load(const Checkpoint& checkpoint, ThreadPool& pool, Arithmetic arithmetic) {
  const Packer pack{checkpoint, pool, arithmetic};
  Qwen2 model;
  model.config_ = checkpoint.config().language;
  model.context_limit_ = std::min(model.config_.max_positions, checkpoint.config().max_context);
  const LanguageConfig& config = model.config_;
  const int64_t hidden = config.hidden_size;
  const int64_t q_width = config.heads * config.head_dim;
  const int64_t kv_width = config.kv_heads * config.head_dim;
  const int64_t intermediate = config.intermediate_size;

  FASTVLM_ASSIGN(model.embedding_, pack("model.embed_tokens.weight", config.vocab_size, hidden));
  if (!config.tied) {
    FASTVLM_ASSIGN(model.head_, pack("lm_head.weight", config.vocab_size, hidden));
  }
  FASTVLM_ASSIGN(model.final_norm_, checkpoint.floats("model.norm.weight", {hidden}));

  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string prefix = cat("model.layers.", i, ".");
    const auto linear = [&](Linear& into, const char* name, int64_t rows, int64_t cols,
                            bool biased = false) -> Status {
      FASTVLM_ASSIGN(into.weights, pack(prefix + name + ".weight", rows, cols));
      if (!biased) return {};
      FASTVLM_ASSIGN(into.bias, checkpoint.floats(prefix + name + ".bias", {rows}));
      return {};
    };
    Layer layer;
    FASTVLM_ASSIGN(layer.attention_norm,
                   checkpoint.floats(prefix + "input_layernorm.weight", {hidden}));
    FASTVLM_ASSIGN(layer.mlp_norm,
                   checkpoint.floats(prefix + "post_attention_layernorm.weight", {hidden}));
    FASTVLM_RETURN_IF_ERROR(linear(layer.q, "self_attn.q_proj", q_width, hidden, true));
    FASTVLM_RETURN_IF_ERROR(linear(layer.k, "self_attn.k_proj", kv_width, hidden, true));
    FASTVLM_RETURN_IF_ERROR(linear(layer.v, "self_attn.v_proj", kv_width, hidden, true));
    FASTVLM_RETURN_IF_ERROR(linear(layer.o, "self_attn.o_proj", hidden, q_width));
    FASTVLM_RETURN_IF_ERROR(linear(layer.gate, "mlp.gate_proj", intermediate, hidden));
    FASTVLM_RETURN_IF_ERROR(linear(layer.up, "mlp.up_proj", intermediate, hidden));
    FASTVLM_RETURN_IF_ERROR(linear(layer.down, "mlp.down_proj", hidden, intermediate));
    model.layers_.push_back(std::move(layer));
  }
  return model;
}

Status Qwen2::attach(const LoraAdapter& adapter, float strength, ThreadPool& pool) {
  if (adapter_rank_ != 0) {
    return error(Code::kUsage, "a second adapter: the model has one already",
                 "merge the first one into the model, and give the second one alone");
  }
  FASTVLM_RETURN_IF_ERROR(adapter.check_fits(config_));
  const float* parameters = adapter.parameters().data();
  const auto packed = [&](const float* values, int64_t rows, int64_t cols) {
    return Matrix::pack({.type = WeightType::kF32, .rows = rows, .cols = cols, .data = values},
                        pool);
  };
  for (int64_t i = 0; i < config_.layers; ++i) {
    const auto linears = layers_[static_cast<size_t>(i)].linears();
    for (size_t target = 0; target < kLoraTargets; ++target) {
      const LoraModule* module = adapter.find(i, static_cast<LoraTarget>(target));
      if (module == nullptr) continue;
      Linear& linear = *linears[target];
      std::vector<float> b(parameters + module->b, parameters + module->b + module->b_size());
      for (float& value : b) value *= module->scale * strength;
      linear.adapter = std::make_unique<const LowRank>(
          LowRank{packed(parameters + module->a, module->rank, module->in),
                  packed(b.data(), module->out, module->rank)});
      adapter_rank_ = std::max(adapter_rank_, module->rank);
    }
  }
  return {};
}

template <typename Function>
void Qwen2::for_each_linear(const Function& fn) const {
  for (const Layer& layer : layers_) {
    for (const Linear* linear : layer.linears()) fn(*linear);
  }
}

bool Qwen2::rows_are_independent() const {
  bool bytes = adapter_rank_ == 0 && head().arithmetic() == Arithmetic::kInt8;
  for_each_linear([&](const Linear& linear) {
    bytes = bytes && linear.weights.arithmetic() == Arithmetic::kInt8;
  });
  return bytes;
}

int64_t Qwen2::bytes() const {
  int64_t floats = config_.hidden_size * (1 + 2 * config_.layers);  // norms
  int64_t packed = embedding_.bytes() + (config_.tied ? 0 : head_.bytes());
  for_each_linear([&](const Linear& linear) {
    packed += linear.weights.bytes();
    if (linear.adapter) packed += linear.adapter->a.bytes() + linear.adapter->b.bytes();
    floats += static_cast<int64_t>(linear.bias.size());
  });
  return packed + floats * static_cast<int64_t>(sizeof(float));
}

int64_t Qwen2::parameters() const {
  int64_t count = config_.hidden_size * (1 + 2 * config_.layers);  // norms
  count += config_.vocab_size * config_.hidden_size * (config_.tied ? 1 : 2);
  for_each_linear([&](const Linear& linear) {
    count += linear.weights.rows() * linear.weights.cols();
    count += static_cast<int64_t>(linear.bias.size());
  });
  return count;
}

}  // namespace fastvlm
