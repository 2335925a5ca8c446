// SPDX-License-Identifier: Apache-2.0
// Sessions on several threads that share a pool.
#include "language/compute.h"

#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <latch>
#include <thread>

#include "language/decoding.h"
#include "models.h"

namespace fastvlm {
namespace {

std::vector<float> prompt_rows(const Qwen2& model, int64_t n, int salt) {
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) {
    ids.push_back(static_cast<int32_t>((i * 7 + salt) % model.config().vocab_size));
  }
  std::vector<float> rows(ids.size() * static_cast<size_t>(model.config().hidden_size));
  EXPECT_TRUE(model.embed(ids, rows.data()).ok());
  return rows;
}

std::vector<int32_t> answer(const Qwen2& model, int64_t prompt, int salt, Compute compute) {
  constexpr int64_t kAnswer = 40;
  const std::vector<float> rows = prompt_rows(model, prompt, salt);
  KvCache cache(model.config(), prompt + kAnswer);
  DecodingOptions options;
  options.max_tokens = kAnswer;
  options.stop_on_loop = false;
  const auto decoded = decode(model, cache, rows.data(), prompt, options, compute);
  EXPECT_TRUE(decoded.ok()) << decoded.status().message;
  return decoded.ok() ? decoded->ids : std::vector<int32_t>();
}

// Prompts of one chunk and of several, answers that begin and end at different times.
TEST(SharedPool, EachAnswerIsWhatItWouldBeAlone) {
  ThreadPool pool(2);
  const Qwen2 model = test::make_tiny({.bits = 8}, pool, Arithmetic::kInt8);
  ASSERT_TRUE(model.rows_are_independent());
  const std::vector<int64_t> prompts = {40, 3, 2 * Qwen2::kChunkRows + 5, 90, 41};
  std::vector<std::vector<int32_t>> expected, found(prompts.size());
  for (size_t i = 0; i < prompts.size(); ++i) {
    expected.push_back(answer(model, prompts[i], static_cast<int>(i), pool));
  }
  SharedPool shared(pool);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < prompts.size(); ++i) {
    threads.emplace_back(
        [&, i] { found[i] = answer(model, prompts[i], static_cast<int>(i), shared); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(found, expected);
}

// Rows that arrive together run together: all threads start each round at once, and wait for it.
TEST(SharedPool, PassesAreShared) {
  ThreadPool pool(1);
  const Qwen2 model = test::make_tiny({}, pool);
  SharedPool shared(pool);
  constexpr int kSessions = 4;
  constexpr int kRounds = 50;
  std::barrier round(kSessions);
  std::vector<std::thread> threads;
  std::latch ready(kSessions);
  // They come while the pool is held, and wait: on a slow machine each could else be done before
  // the next one comes, in every round.
  shared.alone([&](ThreadPool&) {
    for (int i = 0; i < kSessions; ++i) {
      threads.emplace_back([&, i] {
        KvCache cache(model.config(), kRounds);
        const std::vector<float> row = prompt_rows(model, 1, i);
        std::vector<float> logits(static_cast<size_t>(model.config().vocab_size));
        ready.count_down();
        for (int j = 0; j < kRounds; ++j) {
          round.arrive_and_wait();
          EXPECT_TRUE(shared.forward(model, cache, row.data(), 1, 1, logits.data()).ok());
        }
      });
    }
    ready.wait();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared.counts().rows, kSessions * kRounds);
  EXPECT_LT(shared.counts().passes, kSessions * kRounds);
}

TEST(SharedPool, OnlyTheLastRowsMayBeWanted) {
  ThreadPool pool(1);
  const Qwen2 model = test::make_tiny({.bits = 8}, pool, Arithmetic::kInt8);
  SharedPool shared(pool);
  const std::vector<float> rows = prompt_rows(model, 6, 1);
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  std::vector<float> all(6 * vocab), last(2 * vocab);
  KvCache first(model.config(), 6), second(model.config(), 6);
  ASSERT_TRUE(model.forward(first, rows.data(), 6, 6, all.data(), pool).ok());
  ASSERT_TRUE(shared.forward(model, second, rows.data(), 6, 2, last.data()).ok());
  EXPECT_TRUE(std::equal(last.begin(), last.end(), all.end() - static_cast<int64_t>(last.size())));
}

TEST(SharedPool, WorkThatIsDoneAloneIsAlone) {
  ThreadPool pool(2);
  const Qwen2 model = test::make_tiny({}, pool);
  SharedPool shared(pool);
  std::atomic<int> inside = 0, most = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 20; ++j) {
        const Status status = shared.alone([&](ThreadPool&) -> Status {
          most = std::max(most.load(), ++inside);
          std::this_thread::yield();
          --inside;
          return {};
        });
        EXPECT_TRUE(status.ok());
      }
    });
    threads.emplace_back([&, i] { answer(model, 10, i, shared); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most, 1);
}

TEST(SharedPool, AFullCacheFailsByItself) {
  ThreadPool pool(1);
  const Qwen2 model = test::make_tiny({}, pool);
  SharedPool shared(pool);
  KvCache cache(model.config(), 1);
  const std::vector<float> rows = prompt_rows(model, 2, 0);
  std::vector<float> logits(2 * static_cast<size_t>(model.config().vocab_size));
  EXPECT_EQ(shared.forward(model, cache, rows.data(), 2, 2, logits.data()).code, Code::kLimit);
  EXPECT_EQ(shared.alone([](ThreadPool&) { return error(Code::kIo, "no", "go"); }).code, Code::kIo);
}

}  // namespace
}  // namespace fastvlm
