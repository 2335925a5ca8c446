// SPDX-License-Identifier: Apache-2.0
// The order in which what the samples of a step give is summed up: a binary tree over their places,
// the same however many processes share the work, so that the sum is the same to the last bit. Of
// n places the left half is the largest power of two below n. Non-goal: shares of equal size where
// the tree has none; see share_of().
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fastvlm {

// The places of the left half of `count`, which is 2 or more.
int64_t left_half(int64_t count);

// The sum of values, which are not empty, by the tree.
double tree_sum(std::span<const double> values);

// What one process does of a sum over places: it adds up the places [begin, begin + count), a whole
// subtree, and then, in order, receives the sums of others, which it adds to its own, or sends its
// own and is done. Process 0 ends with the whole. `count` 0: there was no place left for it.
struct TreeShare {
  struct Exchange {
    int peer = 0;
    bool receives = false;
  };
  int64_t begin = 0;
  int64_t count = 0;
  std::vector<Exchange> exchanges;
};

// The processes of a subtree are divided between its halves by their places. Shares are equal where
// places and processes are powers of two; 8 places give 3 processes 2, 2 and 4.
TreeShare share_of(int64_t places, int processes, int process);

}  // namespace fastvlm
