// SPDX-License-Identifier: Apache-2.0
// The tensors' values in tests/goldens/detector, as its make_*.py write them.
#pragma once

#include <cstddef>
#include <vector>

namespace fastvlm::test {

// Sixteenths between -3 and 3, exact in halves too.
inline std::vector<float> numbers(size_t count, int start) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>((static_cast<int>(i) + start) % 97) / 16 - 3;
  }
  return values;
}

}  // namespace fastvlm::test
