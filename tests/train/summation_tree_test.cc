// SPDX-License-Identifier: Apache-2.0
// Whoever does which part: the sum is always bracketed in the same way.
#include "train/summation_tree.h"

#include <gmock/gmock.h>

#include <map>
#include <numeric>
#include <string>

namespace fastvlm {
namespace {

// A sum written down: "((0+1)+2)".
std::string written(int64_t begin, int64_t count) {
  if (count == 1) return std::to_string(begin);
  const int64_t left = left_half(count);
  return "(" + written(begin, left) + "+" + written(begin + left, count - left) + ")";
}

// The same by processes that send each other their parts.
std::string written_by(int64_t places, int processes) {
  std::map<int, std::string> sums;
  std::map<int, TreeShare> shares;
  int64_t done = 0;
  for (int i = 0; i < processes; ++i) {
    shares[i] = share_of(places, processes, i);
    done += shares[i].count;
    if (shares[i].count > 0) sums[i] = written(shares[i].begin, shares[i].count);
  }
  EXPECT_EQ(done, places) << processes;
  // Receives whatever can be received until nothing is left to be done.
  for (int round = 0; round < processes; ++round) {
    for (auto& [process, share] : shares) {
      while (!share.exchanges.empty() && share.exchanges.front().receives) {
        TreeShare& peer = shares[share.exchanges.front().peer];
        const bool ready = peer.exchanges.size() == 1 && !peer.exchanges.front().receives &&
                           peer.exchanges.front().peer == process;
        if (!ready) break;
        sums[process] = "(" + sums[process] + "+" + sums[share.exchanges.front().peer] + ")";
        peer.exchanges.clear();
        share.exchanges.erase(share.exchanges.begin());
      }
    }
  }
  for (const auto& [process, share] : shares) EXPECT_TRUE(share.exchanges.empty()) << process;
  return sums[0];
}

TEST(SummationTree, IsTheSameForAnyNumberOfProcesses) {
  EXPECT_EQ(written(0, 7), "(((0+1)+(2+3))+((4+5)+6))");
  for (int64_t places = 1; places <= 40; ++places) {
    for (int processes = 1; processes <= 20; ++processes) {
      ASSERT_EQ(written_by(places, processes), written(0, places)) << places << " by " << processes;
    }
  }
}

TEST(SummationTree, SharesAreEqualWhereTheyCanBe) {
  const auto counts = [](int64_t places, int processes) {
    std::vector<int64_t> all;
    for (int i = 0; i < processes; ++i) all.push_back(share_of(places, processes, i).count);
    return all;
  };
  EXPECT_THAT(counts(8, 1), testing::ElementsAre(8));
  EXPECT_THAT(counts(8, 4), testing::ElementsAre(2, 2, 2, 2));
  EXPECT_THAT(counts(6, 3), testing::ElementsAre(2, 2, 2));
  EXPECT_THAT(counts(8, 3), testing::ElementsAre(2, 2, 4));
  EXPECT_THAT(counts(2, 3), testing::ElementsAre(1, 0, 1));
}

TEST(SummationTree, OfNumbers) {
  // 1 is lost beside 1e20 unless its neighbour is lost, too.
  EXPECT_EQ(tree_sum(std::vector<double>{1, 1e20, -1e20, 1}), 0);
  EXPECT_EQ(tree_sum(std::vector<double>{1e20, -1e20, 1, 1, 4}), 6);
  std::vector<double> whole(1000);
  std::iota(whole.begin(), whole.end(), 1);
  EXPECT_EQ(tree_sum(whole), 500500);
}

}  // namespace
}  // namespace fastvlm
