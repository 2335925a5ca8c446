// SPDX-License-Identifier: Apache-2.0
// Which samples are learnt from, which measure the learning and which are kept for the end.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

inline constexpr size_t kSplitCount = 3;
inline constexpr std::array<std::string_view, kSplitCount> kSplitNames = {"train", "val", "test"};

using SplitShares = std::array<double, kSplitCount>;
inline constexpr SplitShares kUsualShares = {0.9, 0.05, 0.05};

// "0.9,0.05,0.05": train, val, test; later ones may be left out. kUsage: no such numbers, negative
// ones, or their sum is not 1.
Result<SplitShares> parse_shares(std::string_view text);

// How many of `count` each split gets; together all of them. A split with a share gets at least one
// where there is more than one for each of them.
std::array<size_t, kSplitCount> split_sizes(size_t count, const SplitShares& shares);

// The split of each of `count` in a row: first all of train, then val, then test.
std::vector<size_t> splits_in_order(size_t count, const SplitShares& shares);

// The places of `names` in the order that a seed gives them. Where one of them stands among the
// others depends on it and the seed alone, so that a longer list only adds names in between.
std::vector<size_t> seeded_order(const std::vector<std::string>& names, uint64_t seed);

}  // namespace fastvlm
