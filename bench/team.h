// SPDX-License-Identifier: Apache-2.0
// The threads of a benchmark.
#pragma once

#include <cstdlib>

#include "base/thread_pool.h"

namespace fastvlm::bench {

// A team of FASTVLM_THREADS, or one thread.
inline ThreadPool& pool() {
  static ThreadPool team([] {
    const char* threads = std::getenv("FASTVLM_THREADS");
    return threads == nullptr ? 1 : std::atoi(threads);
  }());
  return team;
}

}  // namespace fastvlm::bench
