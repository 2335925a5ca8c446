// SPDX-License-Identifier: Apache-2.0
// How long tests may take: ./check sets FASTVLM_TEST_LENGTH to fast, plain or long.
#pragma once

#include <cstdlib>
#include <string_view>

namespace fastvlm::test {

inline std::string_view test_length() {
  const char* length = std::getenv("FASTVLM_TEST_LENGTH");
  return length == nullptr ? "plain" : length;
}

}  // namespace fastvlm::test
