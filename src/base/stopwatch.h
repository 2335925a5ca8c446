// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace fastvlm {

// Seconds by a clock that never goes back.
class Stopwatch {
 public:
  // Since its construction or its last lap.
  double seconds() const { return since(std::chrono::steady_clock::now()); }

  // The same; the next lap begins.
  double lap() {
    const auto now = std::chrono::steady_clock::now();
    const double taken = since(now);
    start_ = now;
    return taken;
  }

 private:
  double since(std::chrono::steady_clock::time_point now) const {
    return std::chrono::duration<double>(now - start_).count();
  }

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace fastvlm
