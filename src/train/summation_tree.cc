// SPDX-License-Identifier: Apache-2.0
#include "train/summation_tree.h"

#include <algorithm>
#include <bit>

namespace fastvlm {

int64_t left_half(int64_t count) {
  return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(count - 1)));
}

double tree_sum(std::span<const double> values) {
  if (values.size() == 1) return values.front();
  const auto left = static_cast<size_t>(left_half(static_cast<int64_t>(values.size())));
  return tree_sum(values.first(left)) + tree_sum(values.subspan(left));
}

TreeShare share_of(int64_t places, int processes, int process) {
  TreeShare share{0, places, {}};
  int first = 0;  // of the processes that share the subtree
  while (processes > 1 && share.count > 1) {
    const int64_t left = left_half(share.count);
    const auto fair =
        static_cast<int>((processes * left + share.count / 2) / share.count);  // rounded
    const int lefts = std::clamp(fair, 1, processes - 1);
    const int right = first + lefts;  // the first process of the right half
    if (process == first) share.exchanges.push_back({right, true});
    if (process == right) share.exchanges.push_back({first, false});
    if (process < right) {
      processes = lefts;
      share.count = left;
    } else {
      first = right;
      processes -= lefts;
      share.begin += left;
      share.count -= left;
    }
  }
  if (process != first) share.count = 0;  // one place, and another has it
  // From the leaves to the root.
  std::reverse(share.exchanges.begin(), share.exchanges.end());
  return share;
}

}  // namespace fastvlm
