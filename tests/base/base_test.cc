// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "base/base64.h"
#include "base/mapped_file.h"
#include "base/result.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "base/thread_pool.h"
#include "support/files.h"

namespace fastvlm {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return error(Code::kInvalid, cat("odd: ", value), "pass an even number");
  return value / 2;
}

Result<int> quarter(int value) {
  FASTVLM_ASSIGN(const int once, half(value));
  FASTVLM_ASSIGN(const int twice, half(once));
  return twice;
}

TEST(Strings, LowerCase) {
  EXPECT_EQ(lower_case(".JPeG"), ".jpeg");
  EXPECT_EQ(lower_case("\xC3\x84 Z@["), "\xC3\x84 z@[");
  EXPECT_EQ(lower_case(""), "");
}

TEST(Result, PropagatesTheFirstError) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(6).status().message, "odd: 3");
  EXPECT_EQ(quarter(6).status().hint, "pass an even number");
}

TEST(Strings, Format) {
  EXPECT_EQ(with_thousands(99081344), "99,081,344");
  EXPECT_EQ(with_thousands(-1234), "-1,234");
  EXPECT_EQ(with_thousands(7), "7");
  EXPECT_EQ(bracketed(std::vector<int>{3, 4}), "[3, 4]");
  EXPECT_EQ(trimmed("  a b\n"), "a b");
  EXPECT_EQ(split("a,,b", ',').size(), 3U);
}

TEST(Sha256, KnownDigests) {
  // FIPS 180-4 examples.
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 parts;
  parts.update("a");
  parts.update("bc");
  EXPECT_EQ(parts.finish(), sha256_hex("abc"));
}

TEST(MappedFile, ReadsAndRefuses) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "a.txt") << "hello";
  const auto file = MappedFile::open(folder / "a.txt");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->bytes().size(), 5U);
  EXPECT_EQ(MappedFile::open(folder / "none").status().code, Code::kNotFound);
  EXPECT_EQ(MappedFile::open(folder.path()).status().code, Code::kInvalid);
  std::ofstream(folder / "empty");
  EXPECT_TRUE(MappedFile::open(folder / "empty").ok());
  EXPECT_EQ(read_text_file(folder / "a.txt", 3).status().code, Code::kLimit);
}

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const int64_t count : {0, 1, 7, 64, 1000}) {
      for (int repeat = 0; repeat < 50; ++repeat) {
        std::vector<std::atomic<int>> hits(static_cast<size_t>(count));
        pool.parallel_for(count, 8, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        for (const auto& hit : hits) ASSERT_EQ(hit, 1);
      }
    }
  }
}

TEST(ThreadPool, HandsOutEveryIndexOnce) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (int repeat = 0; repeat < 50; ++repeat) {
        std::vector<std::atomic<int>> hits(static_cast<size_t>(count));
        pool.for_each(count, [&](int64_t i) { ++hits[static_cast<size_t>(i)]; });
        for (const auto& hit : hits) ASSERT_EQ(hit, 1);
      }
    }
  }
}

// Shares 0 and 2 are held up, share 1 takes all: its own part upwards, then the others' downwards.
TEST(ThreadPool, AShareThatIsThroughHelpsTheOthersFromTheirEnds) {
  ThreadPool pool(3);
  std::atomic<bool> through{false};
  std::vector<int64_t> taken;
  pool.share_out(9, [&](ThreadPool::Indices indices) {
    const bool helper = indices.end() == 6;
    while (!helper && !through) std::this_thread::yield();
    while (const auto i = indices.take()) {
      ASSERT_TRUE(helper) << *i;
      taken.push_back(*i);
    }
    if (helper) through = true;
  });
  EXPECT_EQ(taken, (std::vector<int64_t>{3, 4, 5, 8, 7, 6, 2, 1, 0}));
}

// More threads than cores and shares of nothing: most are done by the caller before a worker wakes.
TEST(ThreadPool, EveryShareIsDoneOnceWhoeverTakesIt) {
  ThreadPool pool(9);
  std::vector<int> shares(9);
  for (int repeat = 1; repeat <= 20000; ++repeat) {
    pool.run([&](int share) { ++shares[static_cast<size_t>(share)]; });
    for (const int count : shares) ASSERT_EQ(count, repeat);
  }
}

// Were the caller's exception to leave before the others are done, they would go on with what it
// tears down.
TEST(ThreadPool, WhatAShareThrowsComesWhenAllAreDone) {
  ThreadPool pool(4);
  for (int bad = 0; bad < 4; ++bad) {
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> done{0};
      const auto work = [&](int share) {
        if (share == bad) throw std::runtime_error(cat("share ", share));
        std::this_thread::sleep_for(std::chrono::microseconds(50));
        ++done;
      };
      try {
        pool.run(work);
        FAIL() << "nothing thrown";
      } catch (const std::runtime_error& failure) {
        EXPECT_EQ(failure.what(), cat("share ", bad));
      }
      ASSERT_EQ(done, 3);
    }
  }
  std::atomic<int> shares{0};
  pool.run([&](int) { ++shares; });
  EXPECT_EQ(shares, 4);
}

TEST(Base64, IsThatOfTheStandard) {
  const auto encoded = [](std::string_view text) { return base64(std::as_bytes(std::span(text))); };
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "Zg==");
  EXPECT_EQ(encoded("fo"), "Zm8=");
  EXPECT_EQ(encoded("foobar"), "Zm9vYmFy");
  EXPECT_EQ(encoded("\xff\xfe\xfd"), "//79");
}

}  // namespace
}  // namespace fastvlm
