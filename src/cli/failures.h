// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "base/strings.h"
#include "cli/console.h"

namespace fastvlm::cli {

// What failed and why, on stderr, up to a hundred of them. A Failure has the name `image` and the
// Status `why`. How many more there are.
template <typename Failure>
size_t list_failures(const std::vector<Failure>& failures) {
  constexpr size_t kMostShown = 100;
  const size_t shown = std::min(failures.size(), kMostShown);
  for (size_t i = 0; i < shown; ++i) {
    const Failure& failure = failures[i];
    const bool named = failure.why.message.find(failure.image) != std::string::npos;
    note(cat("failed: ", named ? "" : failure.image + ": ", failure.why.message));
  }
  return failures.size() - shown;
}

}  // namespace fastvlm::cli
