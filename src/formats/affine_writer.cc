// SPDX-License-Identifier: Apache-2.0
#include "formats/affine_writer.h"

#include <algorithm>
#include <vector>

#include "formats/narrow.h"

namespace fastvlm {
namespace {

constexpr int64_t kElementsAtATime = int64_t{4} << 20;

}  // namespace

std::array<TensorDeclaration, 3> declare_affine(std::string_view name, int64_t rows, int64_t cols,
                                                const AffineSettings& settings) {
  const std::string base(name.substr(0, name.size() - std::string_view("weight").size()));
  const std::vector<int64_t> words{rows, cols * settings.bits / 32};
  const std::vector<int64_t> groups{rows, cols / settings.group};
  return {TensorDeclaration{std::string(name), DType::kU32, words},
          TensorDeclaration{base + "scales", DType::kF16, groups},
          TensorDeclaration{base + "biases", DType::kF16, groups}};
}

Status append_affine(SafetensorsWriter& writer, int64_t rows, int64_t cols,
                     const AffineSettings& settings, const RowSource& source,
                     const RowQuantizer& quantize, ThreadPool& pool) {
  const int64_t groups = cols / settings.group;
  const int64_t words = cols * settings.bits / 32;
  std::vector<uint16_t> scales(static_cast<size_t>(rows * groups));
  std::vector<uint16_t> biases(scales.size());
  std::vector<uint32_t> packed;
  const int64_t step = std::max<int64_t>(kElementsAtATime / cols, 1);
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first);
    packed.resize(static_cast<size_t>(count * words));
    pool.parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(cols));
      std::vector<float> grid(static_cast<size_t>(2 * groups));
      for (int64_t r = begin; r < end; ++r) {
        source(first + r, values.data());
        quantize(values.data(), packed.data() + r * words, grid.data(), grid.data() + groups);
        const auto at = (first + r) * groups;
        std::transform(grid.begin(), grid.begin() + groups, scales.begin() + at, f32_to_f16);
        std::transform(grid.begin() + groups, grid.end(), biases.begin() + at, f32_to_f16);
      }
    });
    FASTVLM_RETURN_IF_ERROR(writer.append(std::as_bytes(std::span(packed))));
  }
  FASTVLM_RETURN_IF_ERROR(writer.append(std::as_bytes(std::span(scales))));
  return writer.append(std::as_bytes(std::span(biases)));
}

}  // namespace fastvlm
