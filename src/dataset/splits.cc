// SPDX-License-Identifier: Apache-2.0
#include "dataset/splits.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numeric>
#include <tuple>

#include "base/strings.h"
#include "dataset/seeded.h"

namespace fastvlm {

Result<SplitShares> parse_shares(std::string_view text) {
  const Status wrong = error(
      Code::kUsage,
      cat("split `", text, "`: expected shares for train, val and test, such as 0.9,0.05,0.05"),
      "each from 0 to 1, together 1");
  const std::vector<std::string> parts = split(text, ',');
  if (parts.empty() || parts.size() > kSplitCount) return wrong;
  SplitShares shares = {};
  double sum = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string_view part = trimmed(parts[i]);
    const char* end = part.data() + part.size();
    const auto [stopped, problem] = std::from_chars(part.data(), end, shares[i]);
    if (problem != std::errc() || stopped != end || !(shares[i] >= 0 && shares[i] <= 1)) {
      return wrong;
    }
    sum += shares[i];
  }
  if (std::abs(sum - 1) > 1e-6) return wrong;
  return shares;
}

std::array<size_t, kSplitCount> split_sizes(size_t count, const SplitShares& shares) {
  std::array<size_t, kSplitCount> sizes = {};
  size_t left = count;
  for (size_t i = kSplitCount - 1; i > 0; --i) {
    const auto share = static_cast<size_t>(std::lround(shares[i] * static_cast<double>(count)));
    const size_t least = shares[i] > 0 && count > kSplitCount ? 1 : 0;
    sizes[i] = std::min(std::max(share, least), left);
    left -= sizes[i];
  }
  sizes[0] = left;
  return sizes;
}

std::vector<size_t> splits_in_order(size_t count, const SplitShares& shares) {
  const auto sizes = split_sizes(count, shares);
  std::vector<size_t> splits;
  for (size_t i = 0; i < kSplitCount; ++i) splits.insert(splits.end(), sizes[i], i);
  return splits;
}

std::vector<size_t> seeded_order(const std::vector<std::string>& names, uint64_t seed) {
  std::vector<uint64_t> keys;
  for (const std::string& name : names) keys.push_back(SeededChoice(seed, name).next());
  std::vector<size_t> order(names.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::tie(keys[a], names[a]) < std::tie(keys[b], names[b]);
  });
  return order;
}

}  // namespace fastvlm
