// SPDX-License-Identifier: Apache-2.0
#include "kernels/attention.h"

#include "kernels/compare.h"

namespace fastvlm {
namespace {

using test::Expected;
using test::Random;
using test::Rows;

void check(const AttentionShape& s, float spread) {
  SCOPED_TRACE(cat("queries ", s.queries, " keys ", s.keys, " heads ", s.heads, " / ", s.kv_heads,
                   " of ", s.head_dim, s.causal ? " causal" : ""));
  Random random(static_cast<uint32_t>(s.queries * 7 + s.keys + s.head_dim));
  const int64_t width = s.heads * s.head_dim;
  const int64_t kv_width = s.kv_heads * s.head_dim;
  Rows q(s.queries, width, width + 3, random);
  Rows k(s.keys, kv_width, kv_width + 1, random);
  Rows v(s.keys, kv_width, kv_width, random);
  for (int64_t i = 0; i < s.queries; ++i) {
    for (int64_t c = 0; c < width; ++c) q.row(i)[c] *= spread;
  }
  Expected expected;
  for (int64_t i = 0; i < s.queries; ++i) {
    const int64_t seen = s.causal ? s.keys - s.queries + i + 1 : s.keys;
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t j = h / (s.heads / s.kv_heads);
      std::vector<double> scores;
      double largest = -1e300;
      for (int64_t key = 0; key < seen; ++key) {
        double sum = 0.0;
        for (int64_t d = 0; d < s.head_dim; ++d) {
          sum += static_cast<double>(q.row(i)[h * s.head_dim + d]) *
                 static_cast<double>(k.row(key)[j * s.head_dim + d]);
        }
        scores.push_back(sum * static_cast<double>(s.scale));
        largest = std::max(largest, scores.back());
      }
      double total = 0.0;
      for (double& score : scores) total += score = std::exp(score - largest);
      for (int64_t d = 0; d < s.head_dim; ++d) {
        double sum = 0.0;
        for (int64_t key = 0; key < seen; ++key) {
          sum += scores[static_cast<size_t>(key)] / total *
                 static_cast<double>(v.row(key)[j * s.head_dim + d]);
        }
        expected.add(sum, 3e-6 * static_cast<double>(std::max(spread, 1.0F)));
      }
    }
  }
  test::compare(expected, [&](ThreadPool& pool) {
    Rows out(s.queries, width, width + 5);
    attention(pool, s, q.data(), q.stride(), k.data(), k.stride(), v.data(), v.stride(), out.data(),
              out.stride());
    return out.values();
  });
}

TEST(Attention, AllToAll) {
  for (const int64_t dim : {1, 8, 16, 20, 32, 64, 128}) {
    for (const int64_t tokens : {1, 5, 16, 65}) {
      check({tokens, tokens, 3, 3, dim, 1.0F / std::sqrt(static_cast<float>(dim)), false}, 1.0F);
    }
  }
  check({257, 257, 1, 1, 32, 0.2F, false}, 1.0F);
}

TEST(Attention, CausalWithGroupedQueries) {
  for (const int64_t heads : {2, 14}) {
    for (const int64_t queries : {1, 2, 7, 40}) {
      for (const int64_t past : {0, 1, 15, 300}) {
        check({queries, queries + past, heads, 2, 64, 0.125F, true}, 1.0F);
      }
    }
  }
  check({600, 600, 2, 1, 16, 0.25F, true}, 1.0F);
}

// Scores of hundreds: only the running maximum keeps the exponentials finite.
TEST(Attention, LargeScores) {
  check({30, 600, 2, 2, 32, 1.0F, false}, 30.0F);
}

}  // namespace
}  // namespace fastvlm
