// SPDX-License-Identifier: Apache-2.0
#include "text/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "text/unicode.h"

namespace fastvlm {
namespace {

using Merges = std::vector<std::pair<std::string, std::string>>;

// The 256 bytes (id = byte) and the results of the merges, numbered from 256 on.
Vocabulary vocabulary_of(const Merges& merges) {
  StringList tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(std::string(1, static_cast<char>(byte)));
  for (const auto& [left, right] : merges) tokens.push_back(left + right);
  return Vocabulary(std::move(tokens));
}

Result<Bpe> bpe_of(const Vocabulary& vocabulary, const Merges& merges) {
  StringList list;
  for (const auto& [left, right] : merges) {
    list.push_back(printable_from_bytes(left) + ' ' + printable_from_bytes(right));
  }
  return Bpe::make(vocabulary, list, "vocab", "merges");
}

// The definition: as long as any neighbours merge, merge the pair of lowest rank, leftmost first.
std::vector<std::string> by_definition(std::string_view word, const Merges& merges) {
  std::vector<std::string> parts;
  for (const char byte : word) parts.emplace_back(1, byte);
  while (true) {
    size_t best_rank = merges.size();
    size_t best = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto pair = std::make_pair(parts[i], parts[i + 1]);
      const auto rank =
          static_cast<size_t>(std::find(merges.begin(), merges.end(), pair) - merges.begin());
      if (rank < best_rank) {
        best_rank = rank;
        best = i;
      }
    }
    if (best_rank == merges.size()) return parts;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<ptrdiff_t>(best) + 1);
  }
}

// Short and long words take different paths; both must follow the definition for any list of
// merges, also one that no training would give.
TEST(Bpe, FollowsTheDefinition) {
  std::mt19937 random(7);
  const auto below = [&](size_t n) {
    return std::uniform_int_distribution<size_t>(0, n - 1)(random);
  };
  for (int round = 0; round < 60; ++round) {
    std::vector<std::string> known = {"a", "b", "c"};
    Merges merges;
    while (merges.size() < 25) {
      auto pair = std::make_pair(known[below(known.size())], known[below(known.size())]);
      const std::string result = pair.first + pair.second;
      if (std::find(known.begin(), known.end(), result) != known.end()) continue;
      known.push_back(result);
      merges.push_back(std::move(pair));
    }
    std::shuffle(merges.begin(), merges.end(), random);
    const Vocabulary vocabulary = vocabulary_of(merges);
    const auto bpe = bpe_of(vocabulary, merges);
    ASSERT_TRUE(bpe.ok()) << bpe.status().message;
    for (const size_t size : std::vector<size_t>{0, 1, 2, 5, 31, 32, 33, 34, 90}) {
      std::string word;
      while (word.size() < size) word += "abc"[below(3)];
      std::vector<TokenId> ids;
      bpe->append_word(word, ids);
      std::vector<std::string> parts;
      for (const TokenId id : ids) parts.emplace_back(vocabulary.bytes(id));
      EXPECT_EQ(parts, by_definition(word, merges)) << word;
    }
  }
}

TEST(Bpe, LongWordsAreNotQuadratic) {
  Merges merges;
  for (std::string run = "a"; run.size() < 1024; run += run) merges.emplace_back(run, run);
  const auto bpe = bpe_of(vocabulary_of(merges), merges);
  std::vector<TokenId> ids;
  bpe->append_word(std::string(size_t{1} << 20, 'a'), ids);
  EXPECT_EQ(ids, std::vector<TokenId>(1024, 256 + 9));
}

TEST(Bpe, KnowsWhatMergingYields) {
  StringList tokens;
  for (int byte = 0; byte < 256; ++byte) tokens.push_back(std::string(1, static_cast<char>(byte)));
  for (const char* token : {"ab", "xyz"}) tokens.push_back(token);
  const auto bpe = bpe_of(Vocabulary(tokens), {{"a", "b"}});
  EXPECT_TRUE(bpe->yields('a'));
  EXPECT_TRUE(bpe->yields(256));
  EXPECT_FALSE(bpe->yields(257));
}

TEST(Vocabulary, FindsAndCounts) {
  StringList tokens;
  for (const char* token : {"a", "", "bc", "a"}) tokens.push_back(token);
  const Vocabulary vocabulary(tokens);
  EXPECT_EQ(vocabulary.size(), 4U);
  EXPECT_EQ(vocabulary.find("bc"), 2);
  EXPECT_EQ(vocabulary.find("a"), 0);
  EXPECT_EQ(vocabulary.find(""), std::nullopt);
  EXPECT_EQ(vocabulary.find("b"), std::nullopt);
  EXPECT_EQ(vocabulary.twin(), 3);
  EXPECT_EQ(vocabulary.bytes(2), "bc");
  EXPECT_EQ(vocabulary.bytes(-200), "");
  EXPECT_EQ(vocabulary.bytes(4), "");
  EXPECT_EQ(Vocabulary().find("a"), std::nullopt);
}

}  // namespace
}  // namespace fastvlm
