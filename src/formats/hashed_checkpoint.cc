// SPDX-License-Identifier: Apache-2.0
#include "formats/hashed_checkpoint.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/strings.h"
#include "formats/affine.h"
#include "formats/affine_writer.h"
#include "formats/narrow.h"
#include "formats/tensor_lists.h"
#include "kernels/half.h"

namespace fastvlm {
namespace {

constexpr int64_t kGroup = 64;
constexpr int64_t kChunk = int64_t{4} << 20;  // elements made and written at a time
constexpr char kTowerPrefix[] = "model.vision_tower.vision_tower.model.";

// One tensor of the network: the name its values are hashed from and the name it is stored under.
struct Planned {
  std::string hashed_as;
  std::string stored_as;
  std::vector<int64_t> shape;
  bool quantized = false;
};

struct Kind {
  FastVitTopology topology;
  int64_t image_size;
  const char* tower_name;
  const char* projector_prefix;  // of the hashed names; both projectors share their stored names
};

Kind kind_of(HashedTower tower) {
  if (tower == HashedTower::kFastVitHd) return {fastvit_hd(), 1024, "mobileclip_l_1024", "hd."};
  return {mobileclip_s0(), 256, "mobileclip_s0_256", "s0."};
}

bool is_export(const HashedCheckpointOptions& options) {
  return options.bits <= 8;
}

LanguageConfig qwen2_half_billion(bool untied) {
  LanguageConfig config;
  config.hidden_size = 896;
  config.layers = 24;
  config.heads = 14;
  config.kv_heads = 2;
  config.head_dim = 64;
  config.intermediate_size = 4864;
  config.vocab_size = 151936;
  config.tied = !untied;
  return config;
}

std::vector<Planned> plan_tower(const Kind& kind) {
  std::vector<Planned> plan;
  for (const NamedShape& tensor : fastvit_tensors(kind.topology)) {
    const std::string name = kTowerPrefix + tensor.name;
    plan.push_back({name, name, tensor.shape});
  }
  return plan;
}

// The decoder and the projector, under the names of the layout that `options` ask for.
std::vector<Planned> plan_decoder(const Kind& kind, const HashedCheckpointOptions& options) {
  const bool exported = is_export(options);
  const LanguageConfig config = qwen2_half_billion(options.untied);
  std::vector<Planned> plan;
  for (const NamedShape& tensor : qwen2_tensors(config)) {
    plan.push_back({tensor.name, exported ? "language_model." + tensor.name : tensor.name,
                    tensor.shape, exported && tensor.shape.size() == 2});
  }
  for (const NamedShape& tensor :
       projector_tensors(kind.topology.token_width(), config.hidden_size)) {
    const std::string name = "model.mm_projector." + tensor.name;
    plan.push_back({kind.projector_prefix + name,
                    exported ? "multi_modal_projector.linear_" + tensor.name : name, tensor.shape,
                    exported && tensor.shape.size() == 2});
  }
  return plan;
}

DType float_dtype(int bits) {
  return bits == 32 ? DType::kF32 : bits == 16 ? DType::kBF16 : DType::kF16;
}

bool is_counter(const Planned& tensor) {
  return tensor.stored_as.ends_with(".num_batches_tracked");
}

std::vector<TensorDeclaration> declare(const std::vector<Planned>& plan, int bits) {
  std::vector<TensorDeclaration> declarations;
  for (const Planned& tensor : plan) {
    if (!tensor.quantized) {
      declarations.push_back(
          {tensor.stored_as, is_counter(tensor) ? DType::kI64 : float_dtype(bits), tensor.shape});
      continue;
    }
    for (TensorDeclaration& part :
         declare_affine(tensor.stored_as, tensor.shape[0], tensor.shape[1], {bits, kGroup})) {
      declarations.push_back(std::move(part));
    }
  }
  return declarations;
}

// Makes and appends the bytes of tensors, a chunk at a time.
class Filler {
 public:
  Filler(SafetensorsWriter& writer, const HashedCheckpointOptions& options, ThreadPool& pool)
      : writer_(writer), options_(options), pool_(pool) {}

  Status append(const Planned& tensor) {
    if (is_counter(tensor)) {
      const int64_t zero = 0;
      return writer_.append(std::as_bytes(std::span(&zero, 1)));
    }
    const HashedTensor values(options_.salt, tensor.hashed_as, tensor.shape);
    return tensor.quantized ? append_quantized(tensor, values) : append_floats(tensor, values);
  }

 private:
  Status append_floats(const Planned& tensor, const HashedTensor& values) {
    const int64_t count = NamedShape{"", tensor.shape}.elements();
    for (int64_t begin = 0; begin < count; begin += kChunk) {
      const int64_t size = std::min(kChunk, count - begin);
      if (options_.bits == 32) {
        FASTVLM_RETURN_IF_ERROR(
            append_made(floats_, size, [&](int64_t i) { return values.value(begin + i); }));
      } else if (options_.bits == 16) {
        FASTVLM_RETURN_IF_ERROR(append_made(
            halves_, size, [&](int64_t i) { return f32_to_bf16(values.value(begin + i)); }));
      } else {
        FASTVLM_RETURN_IF_ERROR(append_made(
            halves_, size, [&](int64_t i) { return f32_to_f16(values.value(begin + i)); }));
      }
    }
    return {};
  }

  template <typename T, typename Make>
  Status append_made(std::vector<T>& buffer, int64_t size, const Make& make) {
    buffer.resize(static_cast<size_t>(size));
    pool_.parallel_for(size, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) buffer[static_cast<size_t>(i)] = make(i);
    });
    return writer_.append(std::as_bytes(std::span(buffer)));
  }

  // MLX casts a model to F16 before it quantises it, and stores scales and biases as F16.
  Status append_quantized(const Planned& tensor, const HashedTensor& values) {
    const int64_t cols = tensor.shape[1];
    const RowSource source = [&](int64_t row, float* out) {
      for (int64_t i = 0; i < cols; ++i) {
        out[i] = f16_to_f32(f32_to_f16(values.value(row * cols + i)));
      }
    };
    const RowQuantizer quantize = [&](const float* row, uint32_t* words, float* scales,
                                      float* biases) {
      quantize_affine_row(row, cols, options_.bits, kGroup, words, scales, biases);
    };
    return append_affine(writer_, tensor.shape[0], cols, {options_.bits, kGroup}, source, quantize,
                         pool_);
  }

  SafetensorsWriter& writer_;
  const HashedCheckpointOptions& options_;
  ThreadPool& pool_;
  std::vector<float> floats_;
  std::vector<uint16_t> halves_;
};

Status write_plan(const std::filesystem::path& path, const std::vector<Planned>& plan,
                  const HashedCheckpointOptions& options, ThreadPool& pool) {
  FASTVLM_ASSIGN(SafetensorsWriter writer,
                 SafetensorsWriter::create(path, declare(plan, options.bits),
                                           {{"format", is_export(options) ? "mlx" : "pt"}}));
  Filler filler(writer, options, pool);
  for (const Planned& tensor : plan) FASTVLM_RETURN_IF_ERROR(filler.append(tensor));
  return writer.finish();
}

std::string config_text(const Kind& kind, const HashedCheckpointOptions& options) {
  const LanguageConfig config = qwen2_half_billion(options.untied);
  nlohmann::ordered_json json = {{"architectures", {"LlavaQwen2ForCausalLM"}},
                                 {"model_type", "llava_qwen2"},
                                 {"bos_token_id", 151643},
                                 {"eos_token_id", 151645},
                                 {"hidden_act", "silu"},
                                 {"hidden_size", config.hidden_size},
                                 {"intermediate_size", config.intermediate_size},
                                 {"max_position_embeddings", config.max_positions},
                                 {"num_attention_heads", config.heads},
                                 {"num_hidden_layers", config.layers},
                                 {"num_key_value_heads", config.kv_heads},
                                 {"rms_norm_eps", 1e-6},
                                 {"rope_theta", config.rope_theta},
                                 {"tie_word_embeddings", config.tied},
                                 {"use_sliding_window", false},
                                 {"vocab_size", config.vocab_size},
                                 {"mm_vision_tower", kind.tower_name},
                                 {"mm_hidden_size", kind.topology.token_width()},
                                 {"mm_projector_type", "mlp2x_gelu"},
                                 {"mm_patch_merge_type", "flat"},
                                 {"image_aspect_ratio", "pad"},
                                 {"tokenizer_model_max_length", 8192}};
  if (is_export(options)) {
    json["image_token_index"] = 151646;
    json["quantization"] = {{"group_size", kGroup}, {"bits", options.bits}};
  }
  return json.dump(2) + "\n";
}

}  // namespace

std::vector<TensorDeclaration> hashed_checkpoint_tensors(const HashedCheckpointOptions& options) {
  const Kind kind = kind_of(options.tower);
  std::vector<Planned> plan = plan_decoder(kind, options);
  if (!is_export(options)) {
    for (Planned& tensor : plan_tower(kind)) plan.push_back(std::move(tensor));
  }
  return declare(plan, options.bits);
}

Status write_hashed_checkpoint(const std::filesystem::path& folder,
                               const HashedCheckpointOptions& options, ThreadPool& pool) {
  if (options.bits != 4 && options.bits != 8 && options.bits != 16 && options.bits != 32) {
    return error(Code::kUsage, cat("bits: expected 4, 8, 16 or 32, found ", options.bits));
  }
  std::error_code fault;
  std::filesystem::create_directories(folder, fault);
  if (fault) {
    return error(Code::kIo, cat(folder.string(), ": cannot be created: ", fault.message()),
                 "check the folder and its permissions");
  }
  const Kind kind = kind_of(options.tower);
  std::vector<Planned> plan = plan_decoder(kind, options);
  std::vector<Planned> tower = plan_tower(kind);
  if (is_export(options)) {
    FASTVLM_RETURN_IF_ERROR(write_plan(folder / "vision_tower.safetensors", tower, options, pool));
  } else {
    std::move(tower.begin(), tower.end(), std::back_inserter(plan));
  }
  FASTVLM_RETURN_IF_ERROR(write_plan(folder / "model.safetensors", plan, options, pool));
  return write_file_atomically(folder / "config.json", config_text(kind, options));
}

}  // namespace fastvlm
