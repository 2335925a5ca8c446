// SPDX-License-Identifier: Apache-2.0
#include "language/qwen2.h"

#include <gtest/gtest.h>

#include <numeric>

#include "models.h"

namespace fastvlm {
namespace {

using test::embedded;
using test::largest_difference;
using test::logits_of;
using test::make_tiny;
using test::TinyModel;

constexpr float kSame = 2e-4F;  // the same sums in another order

std::vector<int32_t> some_ids(size_t count, int64_t vocab) {
  Generator generator(count);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) {
    id = static_cast<int32_t>(generator.next() % static_cast<uint64_t>(vocab));
  }
  return ids;
}

// The last logits after running rows in pieces of these sizes.
std::vector<float> in_pieces(const Qwen2& model, const std::vector<float>& rows,
                             const std::vector<int64_t>& pieces, ThreadPool& pool) {
  KvCache cache(model.config(), std::accumulate(pieces.begin(), pieces.end(), int64_t{0}));
  std::vector<float> logits;
  const float* next = rows.data();
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto want = i + 1 < pieces.size() ? Qwen2::Logits::kNone : Qwen2::Logits::kLast;
    EXPECT_TRUE(model.forward(cache, next, pieces[i], want, logits, pool).ok());
    next += pieces[i] * model.config().hidden_size;
  }
  EXPECT_EQ(cache.length(), cache.capacity());
  return logits;
}

TEST(Qwen2, APromptMayComeInPieces) {
  ThreadPool pool(2);
  const Qwen2 model = make_tiny({}, pool);
  const auto rows = embedded(model, some_ids(90, model.config().vocab_size));
  const auto whole = in_pieces(model, rows, {90}, pool);
  EXPECT_LE(largest_difference(in_pieces(model, rows, {30, 1, 59}, pool), whole), kSame);
  EXPECT_LE(largest_difference(in_pieces(model, rows, std::vector<int64_t>(90, 1), pool), whole),
            kSame);
}

TEST(Qwen2, ALongPromptRunsInChunks) {
  ThreadPool pool(2);
  const Qwen2 model = make_tiny({}, pool);
  const int64_t n = 2 * Qwen2::kChunkRows + 77;
  const auto rows = embedded(model, some_ids(static_cast<size_t>(n), model.config().vocab_size));
  const auto whole = in_pieces(model, rows, {n}, pool);
  EXPECT_LE(largest_difference(in_pieces(model, rows, {100, 200, n - 301, 1}, pool), whole), kSame);

  // All logits and all hidden rows, across chunks: the last ones are those of the last row alone.
  KvCache cache(model.config(), n);
  std::vector<float> logits;
  std::vector<int64_t> hidden_rows(static_cast<size_t>(model.config().layers) + 1);
  ASSERT_TRUE(
      model
          .forward(cache, rows.data(), n, Qwen2::Logits::kAll, logits, pool,
                   {.hidden = [&](int64_t layer, const float*, int64_t count,
                                  int64_t) { hidden_rows[static_cast<size_t>(layer)] += count; }})
          .ok());
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  ASSERT_EQ(logits.size(), static_cast<size_t>(n) * vocab);
  EXPECT_LE(largest_difference(std::span(logits).last(vocab), whole), kSame);
  EXPECT_EQ(hidden_rows, std::vector<int64_t>(hidden_rows.size(), n));

  // A row within the first chunk, and the first of the second.
  for (const int64_t row : {int64_t{5}, Qwen2::kChunkRows}) {
    const auto until = in_pieces(model, rows, {row + 1}, pool);
    const auto at = std::span(logits).subspan(static_cast<size_t>(row) * vocab, vocab);
    EXPECT_LE(largest_difference(at, until), kSame) << "row " << row;
  }
}

TEST(Qwen2, WatchingHiddenRowsDoesNotChangeLogits) {
  ThreadPool pool(2);
  const Qwen2 model = make_tiny({}, pool);
  const int64_t n = Qwen2::kChunkRows + 10;
  const auto rows = embedded(model, some_ids(static_cast<size_t>(n), model.config().vocab_size));
  KvCache cache(model.config(), n);
  std::vector<float> logits;
  ASSERT_TRUE(model
                  .forward(cache, rows.data(), n, Qwen2::Logits::kLast, logits, pool,
                           {.hidden = [](int64_t, const float*, int64_t, int64_t) {}})
                  .ok());
  EXPECT_LE(largest_difference(logits, in_pieces(model, rows, {n}, pool)), kSame);
}

// Answers of three lengths, one of them several rows at a time (drafts), beside each running alone.
TEST(Qwen2, TimelinesMayShareAPass) {
  ThreadPool pool(2);
  for (const Arithmetic arithmetic : {Arithmetic::kF32, Arithmetic::kInt8}) {
    const Qwen2 model = make_tiny({.bits = 8}, pool, arithmetic);
    const auto hidden = static_cast<size_t>(model.config().hidden_size);
    std::vector<KvCache> together, alone;
    std::vector<std::vector<float>> rows;
    std::vector<float> logits;
    for (const int64_t prompt : {20, 3, 7}) {
      rows.push_back(embedded(model, some_ids(static_cast<size_t>(prompt) + 8, 40)));
      for (auto* caches : {&together, &alone}) {
        caches->emplace_back(model.config(), prompt + 8);
        ASSERT_TRUE(model
                        .forward(caches->back(), rows.back().data(), prompt, Qwen2::Logits::kLast,
                                 logits, pool)
                        .ok());
      }
    }
    for (int pass = 0; pass < 2; ++pass) {
      std::vector<Qwen2::Turn> turns;
      std::vector<float> expected;
      for (size_t i = 0; i < rows.size(); ++i) {
        const int64_t n = i == 1 ? 4 : 1;
        const float* next = rows[i].data() + static_cast<size_t>(alone[i].length()) * hidden;
        turns.push_back({&together[i], next, n});
        ASSERT_TRUE(model.forward(alone[i], next, n, Qwen2::Logits::kAll, logits, pool).ok());
        expected.insert(expected.end(), logits.begin(), logits.end());
      }
      ASSERT_TRUE(model.forward_together(turns, logits, pool).ok());
      if (model.rows_are_independent()) {
        EXPECT_EQ(logits, expected);
      } else {
        EXPECT_LE(largest_difference(logits, expected), kSame);
      }
    }
    EXPECT_EQ(together[0].length(), 22);
    EXPECT_EQ(together[1].length(), 11);
  }
}

TEST(Qwen2, ATurnWithoutRoomChangesNothing) {
  ThreadPool pool(1);
  const Qwen2 model = make_tiny({}, pool);
  const auto rows = embedded(model, some_ids(4, 40));
  KvCache wide(model.config(), 4), full(model.config(), 1);
  std::vector<float> logits;
  const std::vector<Qwen2::Turn> turns = {{&wide, rows.data(), 1}, {&full, rows.data(), 2}};
  EXPECT_EQ(model.forward_together(turns, logits, pool).code, Code::kLimit);
  EXPECT_EQ(wide.length(), 0);
  EXPECT_TRUE(model.forward_together({}, logits, pool).ok());
}

TEST(Qwen2, ThreadsDoNotChangeABit) {
  std::vector<std::vector<float>> prompt_logits, step_logits;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    const Qwen2 model = make_tiny({}, pool);
    const auto ids = some_ids(50, model.config().vocab_size);
    prompt_logits.push_back(logits_of(model, ids, Qwen2::Logits::kAll, pool));
    step_logits.push_back(in_pieces(model, embedded(model, ids), {49, 1}, pool));
  }
  EXPECT_EQ(prompt_logits[0], prompt_logits[1]);
  EXPECT_EQ(prompt_logits[0], prompt_logits[2]);
  EXPECT_EQ(step_logits[0], step_logits[1]);
  EXPECT_EQ(step_logits[0], step_logits[2]);
}

TEST(Qwen2, EightBitWeightsEqualTheirFloats) {
  ThreadPool pool(2);
  for (const bool tied : {true, false}) {
    const Qwen2 floats = make_tiny({.tied = tied}, pool);
    const Qwen2 bytes = make_tiny({.tied = tied, .bits = 8}, pool);
    EXPECT_LT(bytes.bytes(), floats.bytes() / 2);
    EXPECT_EQ(bytes.parameters(), floats.parameters());
    const auto ids = some_ids(20, floats.config().vocab_size);
    EXPECT_EQ(embedded(floats, ids), embedded(bytes, ids));
    EXPECT_LE(largest_difference(logits_of(bytes, ids, Qwen2::Logits::kAll, pool),
                                 logits_of(floats, ids, Qwen2::Logits::kAll, pool)),
              kSame);
  }
}

TEST(Qwen2, CountsItsParameters) {
  ThreadPool pool(1);
  const TinyModel spec;
  const int64_t head_dim = spec.hidden / spec.heads;
  const int64_t kv = spec.kv_heads * head_dim;
  const int64_t layer = 2 * spec.hidden * spec.hidden + spec.hidden + 2 * (kv * spec.hidden + kv) +
                        3 * spec.hidden * spec.intermediate + 2 * spec.hidden;
  const int64_t tied = spec.vocab * spec.hidden + spec.layers * layer + spec.hidden;
  EXPECT_EQ(make_tiny(spec, pool).parameters(), tied);
  EXPECT_EQ(make_tiny({.tied = false}, pool).parameters(), tied + spec.vocab * spec.hidden);
}

TEST(Qwen2, RefusesIdsOutsideTheVocabulary) {
  ThreadPool pool(1);
  const Qwen2 model = make_tiny({}, pool);
  std::vector<float> rows(static_cast<size_t>(2 * model.config().hidden_size));
  for (const int32_t id : {-1, 40, 151645}) {
    const std::vector<int32_t> ids = {0, id};
    const Status status = model.embed(ids, rows.data());
    EXPECT_EQ(status.code, Code::kInvalid);
    EXPECT_NE(status.message.find(std::to_string(id)), std::string::npos) << status.message;
    EXPECT_FALSE(status.hint.empty());
  }
}

TEST(Qwen2, RefusesMoreRowsThanTheCacheHolds) {
  ThreadPool pool(1);
  const Qwen2 model = make_tiny({}, pool);
  const auto rows = embedded(model, some_ids(8, model.config().vocab_size));
  KvCache cache(model.config(), 7);
  std::vector<float> logits;
  EXPECT_EQ(model.forward(cache, rows.data(), 8, Qwen2::Logits::kLast, logits, pool).code,
            Code::kLimit);
  EXPECT_EQ(cache.length(), 0);
  EXPECT_TRUE(model.forward(cache, rows.data(), 7, Qwen2::Logits::kLast, logits, pool).ok());
  EXPECT_EQ(model.forward(cache, rows.data(), 1, Qwen2::Logits::kLast, logits, pool).code,
            Code::kLimit);
  EXPECT_EQ(model.forward(cache, rows.data(), 0, Qwen2::Logits::kLast, logits, pool).code,
            Code::kLimit);
}

TEST(Qwen2, SaysWhichTensorIsWrong) {
  const test::TemporaryFolder folder;
  test::TinyModelWriter({.intermediate = 96}, folder.path()).write();
  std::ifstream in(folder / "config.json");
  std::string config{std::istreambuf_iterator<char>(in), {}};
  config.replace(config.find("\"intermediate_size\": 96"), 23, "\"intermediate_size\": 64");
  std::ofstream(folder / "config.json") << config;
  ThreadPool pool(1);
  const auto checkpoint = Checkpoint::open(folder.path());
  if (checkpoint.ok()) {
    const auto model = Qwen2::load(*checkpoint, pool);
    ASSERT_FALSE(model.ok());
    EXPECT_NE(model.status().message.find("mlp.gate_proj"), std::string::npos)
        << model.status().message;
  } else {
    EXPECT_NE(checkpoint.status().message.find("mlp."), std::string::npos);
  }
}

TEST(KvCache, ForgetsAndRepeats) {
  ThreadPool pool(2);
  const Qwen2 model = make_tiny({}, pool);
  const auto rows = embedded(model, some_ids(20, model.config().vocab_size));
  const float* last = rows.data() + 19 * model.config().hidden_size;
  KvCache cache(model.config(), 20);
  std::vector<float> first, again;
  ASSERT_TRUE(model.forward(cache, rows.data(), 19, Qwen2::Logits::kNone, first, pool).ok());
  EXPECT_TRUE(first.empty());
  ASSERT_TRUE(model.forward(cache, last, 1, Qwen2::Logits::kLast, first, pool).ok());
  cache.truncate(19);
  EXPECT_EQ(cache.next_position(), 19);
  ASSERT_TRUE(model.forward(cache, last, 1, Qwen2::Logits::kLast, again, pool).ok());
  EXPECT_EQ(first, again);
}

TEST(KvCache, CopiesGoTheirOwnWay) {
  ThreadPool pool(2);
  const Qwen2 model = make_tiny({}, pool);
  const auto ids = some_ids(12, model.config().vocab_size);
  const auto rows = embedded(model, ids);
  const int64_t hidden = model.config().hidden_size;
  KvCache cache(model.config(), 12);
  std::vector<float> logits, want;
  ASSERT_TRUE(model.forward(cache, rows.data(), 10, Qwen2::Logits::kNone, logits, pool).ok());
  KvCache copy(model.config(), 30);  // another capacity, hence another layout
  copy.copy_from(cache);
  ASSERT_EQ(copy.length(), 10);

  // The original runs on with row 10, the copy with row 11.
  ASSERT_TRUE(
      model.forward(cache, rows.data() + 10 * hidden, 1, Qwen2::Logits::kLast, want, pool).ok());
  ASSERT_TRUE(
      model.forward(copy, rows.data() + 11 * hidden, 1, Qwen2::Logits::kLast, logits, pool).ok());
  EXPECT_GT(largest_difference(logits, want), kSame);

  // Only the rows after the shared ten need to be copied to make them equal again.
  copy.copy_from(cache, 10);
  std::vector<float> next, copied_next;
  ASSERT_TRUE(model.forward(cache, rows.data(), 1, Qwen2::Logits::kLast, next, pool).ok());
  ASSERT_TRUE(model.forward(copy, rows.data(), 1, Qwen2::Logits::kLast, copied_next, pool).ok());
  EXPECT_EQ(next, copied_next);
}

TEST(KvCache, IsSizedToTheRequest) {
  LanguageConfig config;
  config.layers = 24;
  config.kv_heads = 2;
  config.head_dim = 64;
  EXPECT_EQ(KvCache(config, 112).bytes(), 112 * 24 * 2 * 2 * 64 * 4);
}

}  // namespace
}  // namespace fastvlm
