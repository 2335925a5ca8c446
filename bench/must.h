// SPDX-License-Identifier: Apache-2.0
// A benchmark that cannot do its work says why and ends.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/result.h"

namespace fastvlm::bench {

inline void must(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, status.message.c_str());
  std::exit(1);
}

template <typename T>
T must(Result<T> result) {
  must(result.status());
  return std::move(*result);
}

}  // namespace fastvlm::bench
