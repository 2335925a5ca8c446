// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/strings.h"
#include "caption/checkup.h"
#include "formats/safetensors.h"
#include "kernels/half.h"

namespace fastvlm {
namespace {

struct Numbers {
  int64_t elements = 0;
  int64_t not_finite = 0;
  int64_t at_half_limit = 0;  // +-65504, where an export to half precision clips
  int64_t zero = 0;
  int64_t negative = 0;
};

template <typename Word, typename Convert>
Numbers survey(std::span<const std::byte> bytes, const Convert& convert) {
  Numbers numbers;
  for (size_t at = 0; at + sizeof(Word) <= bytes.size(); at += sizeof(Word)) {
    Word word;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    const float value = convert(word);
    ++numbers.elements;
    numbers.not_finite += std::isfinite(value) ? 0 : 1;
    numbers.at_half_limit += std::fabs(value) == 65504.0F ? 1 : 0;
    numbers.zero += value == 0.0F ? 1 : 0;
    numbers.negative += value < 0.0F ? 1 : 0;
  }
  return numbers;
}

Numbers survey(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF32:
      return survey<uint32_t>(tensor.bytes,
                              [](uint32_t bits) { return std::bit_cast<float>(bits); });
    case DType::kF16:
      return survey<uint16_t>(tensor.bytes, f16_to_f32);
    case DType::kBF16:
      return survey<uint16_t>(tensor.bytes, bf16_to_f32);
    default:
      return {};
  }
}

struct Totals {
  int64_t not_finite = 0;
  std::string first_not_finite;
  int64_t clipped = 0;
  std::string first_clipped;
  int64_t scales = 0;
  int64_t negative_scales = 0;
  std::string dead_scales;  // a matrix most of whose groups are all zero
};

void count(const std::string& name, const TensorView& tensor, Totals& totals) {
  const Numbers numbers = survey(tensor);
  if (numbers.not_finite > 0 && totals.not_finite == 0) totals.first_not_finite = name;
  totals.not_finite += numbers.not_finite;
  if (tensor.dtype == DType::kF16 && numbers.at_half_limit > 0) {
    if (totals.clipped == 0) totals.first_clipped = name;
    totals.clipped += numbers.at_half_limit;
  }
  if (!std::string_view(name).ends_with(".scales")) return;
  totals.scales += numbers.elements;
  totals.negative_scales += numbers.negative;
  if (numbers.zero * 2 > numbers.elements && totals.dead_scales.empty()) totals.dead_scales = name;
}

}  // namespace

std::vector<Finding> examine_weight_file(const std::filesystem::path& file) {
  const std::string name = file.filename().string();
  const auto opened = SafetensorsFile::open(file);
  if (!opened.ok()) {
    return {{Verdict::kBad, "weight file", opened.status().message, opened.status().hint}};
  }
  Totals totals;
  for (const auto& [tensor_name, tensor] : opened->tensors()) {
    count(tensor_name, tensor, totals);
    opened->release(tensor);
  }
  std::vector<Finding> findings;
  if (totals.not_finite > 0) {
    findings.push_back(
        {Verdict::kBad, "finite weights",
         cat(name, ": ", totals.first_not_finite, ": ", totals.not_finite,
             " numbers are infinite or not numbers"),
         "the file is damaged, or was converted to half precision from weights that do not fit "
         "it; convert again from the original in bf16 or f32"});
  } else {
    findings.push_back(
        {Verdict::kGood, "finite weights", cat(name, ": all numbers are finite"), ""});
  }
  if (totals.clipped > 0) {
    findings.push_back({Verdict::kNote, "half range",
                        cat(name, ": ", totals.first_clipped, ": ", totals.clipped,
                            " numbers stand at the limit of half precision (65504)"),
                        "they may have been clipped; compare with the original weights"});
  }
  if (!totals.dead_scales.empty()) {
    findings.push_back({Verdict::kBad, "quantised scales",
                        cat(name, ": ", totals.dead_scales,
                            ": most scales are zero, so most weights are constant"),
                        "quantise again from the unquantised model"});
  } else if (totals.scales > 0) {
    findings.push_back({Verdict::kGood, "quantised scales",
                        cat(name, ": ", totals.scales, " scales, ", totals.negative_scales,
                            " of them negative, as MLX writes them"),
                        ""});
  }
  return findings;
}

}  // namespace fastvlm
