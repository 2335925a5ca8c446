// SPDX-License-Identifier: Apache-2.0
// Models for the tests of this room: the goldens, and small random ones written on the spot.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "base/strings.h"
#include "formats/checkpoint.h"
#include "formats/safetensors.h"
#include "language/qwen2.h"
#include "language/sampler.h"
#include "support/files.h"

namespace fastvlm::test {

inline Qwen2 load_qwen2(const std::filesystem::path& folder, ThreadPool& pool,
                        Arithmetic arithmetic = Arithmetic::kF32) {
  auto checkpoint = Checkpoint::open(folder);
  if (!checkpoint.ok()) throw std::runtime_error(checkpoint.status().message);
  auto model = Qwen2::load(*checkpoint, pool, arithmetic);
  if (!model.ok()) throw std::runtime_error(model.status().message);
  return std::move(*model);
}

inline std::vector<float> embedded(const Qwen2& model, const std::vector<int32_t>& ids) {
  std::vector<float> rows(ids.size() * static_cast<size_t>(model.config().hidden_size));
  EXPECT_TRUE(model.embed(ids, rows.data()).ok());
  return rows;
}

// Logits of `ids` as one prompt in a fresh cache.
inline std::vector<float> logits_of(const Qwen2& model, const std::vector<int32_t>& ids,
                                    Qwen2::Logits want, ThreadPool& pool) {
  const auto n = static_cast<int64_t>(ids.size());
  KvCache cache(model.config(), n);
  std::vector<float> logits;
  EXPECT_TRUE(model.forward(cache, embedded(model, ids).data(), n, want, logits, pool).ok());
  return logits;
}

inline float largest_difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const float difference = std::abs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // a NaN counts, too
  }
  return largest;
}

// A random model. Written as the f32 checkpoint it is, or, with `bits` 8, as an MLX export whose
// weights are multiples of 2^-8 and hence the same in both.
struct TinyModel {
  int64_t hidden = 64, layers = 2, heads = 4, kv_heads = 2, intermediate = 96, vocab = 40;
  bool tied = true;
  int bits = 32;
  uint64_t seed = 1;
  int64_t max_positions = 1024;
};

class TinyModelWriter {
 public:
  TinyModelWriter(const TinyModel& spec, const std::filesystem::path& folder)
      : spec_(spec), folder_(folder), generator_(spec.seed) {}

  void write() {
    const int64_t width = spec_.hidden / spec_.heads;
    matrix("model.embed_tokens.weight", spec_.vocab, spec_.hidden);
    if (!spec_.tied) matrix("lm_head.weight", spec_.vocab, spec_.hidden);
    norm("model.norm.weight");
    for (int64_t i = 0; i < spec_.layers; ++i) {
      const std::string layer = cat("model.layers.", i, ".");
      norm(layer + "input_layernorm.weight");
      norm(layer + "post_attention_layernorm.weight");
      for (const auto& [name, heads] : {std::pair("q", spec_.heads), std::pair("k", spec_.kv_heads),
                                        std::pair("v", spec_.kv_heads)}) {
        matrix(layer + "self_attn." + name + "_proj.weight", heads * width, spec_.hidden);
        floats(layer + "self_attn." + name + "_proj.bias", {heads * width}, 0, 0.5);
      }
      matrix(layer + "self_attn.o_proj.weight", spec_.hidden, spec_.hidden);
      matrix(layer + "mlp.gate_proj.weight", spec_.intermediate, spec_.hidden);
      matrix(layer + "mlp.up_proj.weight", spec_.intermediate, spec_.hidden);
      matrix(layer + "mlp.down_proj.weight", spec_.hidden, spec_.intermediate);
    }
    std::vector<TensorToWrite> tensors;
    for (const Stored& s : stored_)
      tensors.push_back({s.name, s.dtype, s.shape, std::span(s.bytes)});
    const Status written = write_safetensors(folder_ / "model.safetensors", tensors);
    ASSERT_TRUE(written.ok()) << written.message;
    write_config();
  }

 private:
  static constexpr int64_t kGroup = 32;
  struct Stored {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
  };

  template <typename T>
  void store(const std::string& name, DType dtype, std::vector<int64_t> shape,
             const std::vector<T>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    const std::string prefix = spec_.bits == 8 ? "language_model." : "";
    stored_.push_back({prefix + name, dtype, std::move(shape), std::move(bytes)});
  }

  void floats(const std::string& name, std::vector<int64_t> shape, double centre, double spread) {
    int64_t count = 1;
    for (const int64_t side : shape) count *= side;
    std::vector<float> values(static_cast<size_t>(count));
    for (float& v : values) {
      v = static_cast<float>(centre + spread * (2 * generator_.uniform() - 1));
    }
    store(name, DType::kF32, std::move(shape), values);
  }

  void norm(const std::string& name) { floats(name, {spec_.hidden}, 1, 0.5); }

  // Weights q / 256 - 1 / 2 for bytes q: both forms hold exactly these.
  void matrix(const std::string& name, int64_t rows, int64_t cols) {
    std::vector<uint8_t> q(static_cast<size_t>(rows * cols));
    for (uint8_t& value : q) value = static_cast<uint8_t>(generator_.next() >> 56);
    if (spec_.bits != 8) {
      std::vector<float> values(q.size());
      for (size_t i = 0; i < q.size(); ++i) values[i] = static_cast<float>(q[i]) / 256.0F - 0.5F;
      store(name, DType::kF32, {rows, cols}, values);
      return;
    }
    const std::string stem = name.substr(0, name.size() - std::string("weight").size());
    const std::vector<float> scales(static_cast<size_t>(rows * cols / kGroup), 1.0F / 256.0F);
    const std::vector<float> biases(scales.size(), -0.5F);
    std::vector<uint32_t> words(q.size() / 4);
    std::memcpy(words.data(), q.data(), q.size());
    store(name, DType::kU32, {rows, cols / 4}, words);
    store(stem + "scales", DType::kF32, {rows, cols / kGroup}, scales);
    store(stem + "biases", DType::kF32, {rows, cols / kGroup}, biases);
  }

  void write_config() const {
    std::ofstream out(folder_ / "config.json");
    out << R"({"model_type": "llava_qwen2", "hidden_act": "silu", "rope_theta": 10000.0)"
        << ", \"hidden_size\": " << spec_.hidden << ", \"num_hidden_layers\": " << spec_.layers
        << ", \"num_attention_heads\": " << spec_.heads
        << ", \"num_key_value_heads\": " << spec_.kv_heads
        << ", \"intermediate_size\": " << spec_.intermediate << ", \"vocab_size\": " << spec_.vocab
        << ", \"max_position_embeddings\": " << spec_.max_positions
        << ", \"tie_word_embeddings\": " << (spec_.tied ? "true" : "false");
    if (spec_.bits == 8) out << R"(, "quantization": {"group_size": 32, "bits": 8})";
    out << "}\n";
  }

  TinyModel spec_;
  std::filesystem::path folder_;
  Generator generator_;
  std::vector<Stored> stored_;
};

inline Qwen2 make_tiny(const TinyModel& spec, ThreadPool& pool,
                       Arithmetic arithmetic = Arithmetic::kF32) {
  const TemporaryFolder folder;
  TinyModelWriter(spec, folder.path()).write();
  return load_qwen2(folder.path(), pool, arithmetic);
}

}  // namespace fastvlm::test
