// SPDX-License-Identifier: Apache-2.0
// MLX stores a quantised matrix as three tensors; here they become one.
#include <utility>

#include "base/strings.h"
#include "formats/affine.h"
#include "formats/checkpoint_state.h"
#include "formats/hints.h"

namespace fastvlm {
namespace {

Status mismatch(const StoredTensor& weight, const std::string& what) {
  return error(Code::kInvalid, cat(weight.described(), ": ", what), kSameCheckpoint);
}

// Types and shapes of the parts among themselves.
Status check_parts(const StoredTensor& weight, const TensorView& scales, const TensorView& biases) {
  const TensorView& words = weight.view;
  if (words.dtype != DType::kU32 || words.shape.size() != 2) {
    return mismatch(weight, cat("expected U32 [rows, words] beside .scales, found ",
                                dtype_name(words.dtype), " ", bracketed(words.shape)));
  }
  if (scales.dtype != biases.dtype || scales.shape != biases.shape || scales.shape.size() != 2 ||
      scales.shape[0] != words.shape[0] || scales.shape[1] < 1) {
    return mismatch(weight, cat(bracketed(words.shape), " does not go with scales ",
                                bracketed(scales.shape), " and biases ", bracketed(biases.shape)));
  }
  return {};
}

// Bits from the shapes, which must be what config.json says unless it has settings by module.
Result<int> derive_bits(const Checkpoint::State& state, const StoredTensor& weight,
                        const TensorView& scales) {
  const std::string config = (state.folder / "config.json").string();
  const auto& settings = state.config.quantization;
  if (!settings) {
    return mismatch(weight, cat("is quantised (it has .scales), but ", config,
                                " has no key `quantization`; expected {\"group_size\": 64, "
                                "\"bits\": 4}"));
  }
  // The words lie inside the file, so that none of these products overflows.
  const int64_t bits_in_row = weight.view.shape[1] * 32;
  const int64_t groups = scales.shape[1];
  const int64_t bits = bits_in_row / groups / settings->group_size;
  if (!is_affine_width(bits) || bits * groups * settings->group_size != bits_in_row ||
      (bits != settings->bits && !settings->mixed)) {
    return mismatch(
        weight, cat(weight.view.shape[1], " words and ", groups, " scales a row do not fit bits ",
                    settings->bits, " and group_size ", settings->group_size, " of ", config));
  }
  return static_cast<int>(bits);
}

Status resolve_triple(Checkpoint::State& state, const std::string& base) {
  const auto weight_at = state.tensors.find(base + ".weight");
  const auto scales_at = state.tensors.find(base + ".scales");
  const auto biases_at = state.tensors.find(base + ".biases");
  const bool no_weight = weight_at == state.tensors.end();
  if (no_weight || biases_at == state.tensors.end()) {
    return error(Code::kInvalid,
                 cat(scales_at->second.described(), ": a quantised tensor also needs its ",
                     no_weight ? ".weight" : ".biases"),
                 "check that all weight files are there");
  }
  StoredTensor& weight = weight_at->second;
  weight.scales = scales_at->second.view;
  weight.biases = biases_at->second.view;
  weight.scale_file = scales_at->second.file;
  weight.bias_file = biases_at->second.file;
  FASTVLM_RETURN_IF_ERROR(check_parts(weight, weight.scales, weight.biases));
  FASTVLM_ASSIGN(weight.bits, derive_bits(state, weight, weight.scales));
  weight.group = state.config.quantization->group_size;
  weight.shape = {weight.view.shape[0], weight.scales.shape[1] * weight.group};
  state.tensors.erase(scales_at);
  state.tensors.erase(biases_at);
  return {};
}

}  // namespace

Status resolve_quantized(Checkpoint::State& state) {
  constexpr std::string_view kScales = ".scales";
  std::vector<std::string> bases;
  for (const auto& [name, tensor] : state.tensors) {
    if (name.ends_with(kScales)) bases.push_back(name.substr(0, name.size() - kScales.size()));
  }
  for (const std::string& base : bases) FASTVLM_RETURN_IF_ERROR(resolve_triple(state, base));
  for (const auto& [name, tensor] : state.tensors) {
    if (!name.ends_with(".biases")) continue;
    return error(Code::kInvalid,
                 cat(tensor.described(), ": a quantised tensor also needs its .scales"),
                 "check that all weight files are there");
  }
  return {};
}

}  // namespace fastvlm
